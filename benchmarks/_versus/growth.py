"""How the time of the full sweep grows with the number of parameters: the slope in a log-log plot.

The network is B with another number of inputs, so that the first layer grows and everything that its perturbations go
through stays as it is. A sweep whose every entry costs the same has slope 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from _versus import ours
from _versus.timing import Contestant, Ratio, Timing, race, spread
from _versus.workloads import SPECS
from gradcheck.catalogue import Catalogue
from gradcheck.spec.read import Overrides, read_case

#: Parameters that one more input adds, and those that there are without any: 64 hidden units, 10 outputs.
_EACH, _FIXED = 64, 64 + 64 * 10 + 10
_INPUTS = "shape: [128]"
#: Least number of parameters, decades, points.
FULL, QUICK = (1500, 2.0, 7), (1500, 1.0, 4)
_ROWS, _COLUMNS = 14, 56


@dataclass(frozen=True)
class Growth:
    """Parameters, and the times of the sweep over them."""

    parameters: tuple[int, ...]
    timings: tuple[Timing, ...]

    @property
    def decades(self) -> float:
        """Over how many decades the number of parameters grows."""
        return math.log10(self.parameters[-1] / self.parameters[0])

    @property
    def slope(self) -> Ratio:
        """Of the straight line through the logarithms, fitted to each round."""
        rounds = zip(*(timing.seconds for timing in self.timings), strict=True)
        return spread([slope(self.parameters, seconds) for seconds in rounds])


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the least-squares line through (log x, log y)."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measured(task: tuple[int, bool]) -> Growth:
    """(rounds, whether it must be quick)."""
    rounds, quick = task
    least, decades, points = QUICK if quick else FULL
    wanted = np.logspace(math.log10(least), math.log10(least) + decades, points)
    inputs = [max(1, round((count - _FIXED) / _EACH)) for count in wanted]
    contestants = [Contestant(f"{n} inputs", partial(ours.sweep, _with_inputs(n), "complex")) for n in inputs]
    return Growth(tuple(_EACH * n + _FIXED for n in inputs), tuple(race(contestants, rounds)))


def _with_inputs(count: int) -> ours.Ready:
    text = (SPECS / "b.yaml").read_text(encoding="utf-8")
    assert text.count(_INPUTS) == 1, f"b.yaml gives its inputs in other words than `{_INPUTS}`"
    return ours.ready(read_case("growth.yaml", text.replace(_INPUTS, f"shape: [{count}]"), Catalogue(), Overrides()))


def plot(growth: Growth) -> str:
    """Seconds over parameters, both logarithmic: ● measured, · slope 1 through the first point."""
    x = np.log10(growth.parameters)
    y = np.log10([timing.median for timing in growth.timings])
    straight = y[0] + (x - x[0])
    low, high = float(min(y.min(), straight.min())), float(max(y.max(), straight.max()))

    def row(value: float) -> int:
        return round((high - value) / (high - low) * (_ROWS - 1))

    grid = [[" "] * _COLUMNS for _ in range(_ROWS)]
    for column in range(_COLUMNS):
        along = (x[-1] - x[0]) * column / (_COLUMNS - 1)
        grid[row(float(y[0] + along))][column] = "·"
    for place, value in zip(x, y, strict=True):
        grid[row(float(value))][round((place - x[0]) / (x[-1] - x[0]) * (_COLUMNS - 1))] = "●"
    labels = {0: f"{10**high:.2g} s", _ROWS - 1: f"{10**low:.2g} s"}
    lines = [f"{labels.get(k, ''):>9} │{''.join(cells).rstrip()}" for k, cells in enumerate(grid)]
    first, last = f"{growth.parameters[0]:,}", f"{growth.parameters[-1]:,} parameters"
    return "\n".join([*lines, f"{'':>9} └{'─' * _COLUMNS}", f"{'':>11}{first:<{_COLUMNS - 10}}{last}"])
