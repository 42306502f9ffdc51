"""The numeric gradient of a tensor along random directions: one number for each, whatever the size of the tensor.

    Σₑ gₑ vₑ = d/dt f(x + t v) at t = 0        vₑ = ±1 at random, afresh for every tensor and draw

A gradient that is wrong in any entry by δ is wrong along v by ± δ, and one that is wrong everywhere by the root mean
square of Σ δₑ vₑ, ‖δ‖; so is rounding, which does not know v: with the probability 2 exp(-t²/2) at most Σ δₑ vₑ is more
than t ‖δ‖ (Hoeffding). Two mistakes may cancel along one v, not again and again along others that know nothing of it.

The complex step errs by the rounding of all that is added up, with n the slopes, nᵢ those of the samples, and s how
they change when every number moves by one unit in the last place:

    error = 16 u Σ|nᵢ| + 64 u max|n| + 2 u Σ|g v| + 10 s + 2²⁰ η / h

A real scheme climbs a ladder of steps and is read from its plateau: the step that suits a direction, in which every
number moves, is not known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec.structs
import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.draws import Draws, along, size
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import LEAST_ORDER, Question, Rungs, best_two, ladder_steps, side_by_side
from gradcheck.gradients.numeric.rays import climb_along
from gradcheck.gradients.numeric.schemes import SCHEMES, Scheme, step_for
from gradcheck.gradients.numeric.sweep import Stage

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
#: The fewest directions that prove anything: two mistakes may cancel along one.
LEAST = 2
#: A complex step whose truncation, h² f‴ / 6, is nothing beside that of the one that was asked for.
_SHORT = 2.0**-20
#: Standard deviations of the rounding of x + h v that a bar leaves room for.
_DEVIATIONS = 6
#: Along so many of them it is measured how slopes change when every number moves by one unit in the last place.
_MOVED = 1
#: A complex step that is tiny beside any number a network is likely to have.
_TINY = 2.0**-200


class Slope(Struct, frozen=True):
    """Along one direction, in which tensors move together.

    numeric    from forward
    analytic   Σ g v
    magnitude  Σ|g v|, what rounding errors are proportional to
    """

    numeric: float
    analytic: float
    magnitude: float


def directions(
    stage: Stage,
    question: Question,
    names: Sequence[str],
    gradients: Mapping[str, Array],
    *,
    count: int,
    seed: int,
    step: float = _TINY,
) -> list[Slope]:
    """The slopes of the objective along directions of all named tensors together, by the complex step.

    gradients  what a backward says of each
    step       tiny beside all of them
    """
    draws, shapes = Draws(count, seed), {name: stage.arrays[name].shape for name in names}
    rays, signs = zip(*(draws.joint(shapes, draw) for draw in range(count)), strict=True)
    alone = replace(question, others={}) if question.others else question
    rungs = climb_along(stage, rays, SCHEMES["complex"], alone, np.array([step]))
    g = np.concatenate([gradients[name].reshape(-1) for name in names])
    magnitude = size(g)
    return [Slope(n, along(g, v), magnitude) for v, n in zip(signs, rungs.values[-1].tolist(), strict=True)]


def _any(kink: Array) -> Array:
    return np.asarray(kink.any(axis=0))


#: What `climb_along` does for some draws of a tensor, wherever it is done; it takes what `ladder.climb` takes.
Sweep = Callable[..., Rungs]


def sweep_of(draws: Draws) -> Sweep:
    """`climb` for directions: the entries are draws of the named tensor, evaluated one by one, wherever it is done."""

    def climb(
        stage: Stage, name: str, entries: Array, scheme: Scheme, question: Question, steps: Array,
        watch: KinkWatch | None = None, tick: Callable[[int], None] | None = None,
    ) -> Rungs:  # fmt: skip
        parts = []
        for draw in entries:
            ray = draws.ray(name, stage.arrays[name].shape, int(draw))
            parts.append(climb_along(stage, [ray], scheme, question, steps, watch))
            if tick is not None:
                tick(len(parts))
        return side_by_side(parts)

    return climb


def rounded(array: Array, rungs: Rungs) -> Rungs:
    """With what the rounding of x + h v may add, u max|x| / h of each entry: at random, so of all together as of ‖g‖.

    ‖g‖ is the usual size of the slopes; the greatest is taken for it, as a single one may happen to be small.
    """
    greatest = float(np.max(np.abs(array), initial=0.0))
    usual = np.max(np.where(np.isfinite(rungs.values), np.abs(rungs.values), 0.0), axis=1, keepdims=True)
    rounding = _DEVIATIONS * _UNIT * greatest * usual / rungs.steps[:, None]
    return msgspec.structs.replace(rungs, noise=rungs.noise + rounding)


class Probe(Struct, frozen=True):
    """The directions of a case, and what its bars are made of.

    magnitude  of a tensor by name, Σ|g v| of what backward says
    nearby     the network with every number moved by one unit in the last place
    """

    draws: Draws
    magnitude: Callable[[str], float]
    nearby: Callable[[], Stage]
    _kept: list[Stage] = field(default_factory=list)

    def forget(self) -> None:
        """Let go of the moved network, which takes as much memory as the network does."""
        self._kept.clear()

    def estimate(
        self, stage: Stage, name: str, scheme: Scheme, question: Question, watch: KinkWatch | None = None,
        step: float | None = None, draws: Array | None = None, tick: Callable[[int], None] | None = None,
        sweep: Sweep | None = None,
    ) -> Estimate:  # fmt: skip
        """The slopes along all draws of a tensor, or along some: an estimate with the draws in the entries' place.

        step   None: the usual one of the complex step, a ladder for the others
        sweep  evaluates the draws at those steps, where that was done elsewhere
        """
        sweep = sweep or sweep_of(self.draws)
        wanted = np.arange(self.draws.count) if draws is None else np.unique(draws)
        if scheme.is_complex:
            h = step or step_for(scheme, stage.arrays[name])
            rungs = sweep(stage, name, wanted, scheme, question, np.array([h]), watch, tick)
            error = self._rounding(name, scheme, question, rungs, wanted, h)
            if step:
                shorter = sweep_of(self.draws)(stage, name, wanted, scheme, question, np.array([_SHORT * h]))
                error = error + 2 * np.abs(shorter.values[-1] - rungs.values[-1])
            return self._spread_out(name, scheme, h, wanted, rungs, rungs.values[-1], error, rungs.kink[-1])
        h = step or step_for(scheme, stage.arrays[name])
        steps = np.array([2 * h, h]) if step else ladder_steps(stage.arrays[name])
        rungs = rounded(stage.arrays[name], sweep(stage, name, wanted, scheme, question, steps, watch, tick))
        if step:
            truncation = 2 * np.abs(rungs.values[1] - rungs.values[0]) / (2.0**LEAST_ORDER - 1)
            return self._spread_out(
                name, scheme, h, wanted, rungs, rungs.values[1], truncation + rungs.noise[1], _any(rungs.kink)
            )
        best, _ = best_two(rungs, scheme)
        h = float(2.0 ** np.round(np.median(np.log2(rungs.steps[np.minimum(best.rung, len(rungs.steps) - 1)]))))
        error = np.where(best.settled, best.error, np.inf)
        kink = ~best.settled & _any(rungs.kink)
        return self._spread_out(name, scheme, h, wanted, rungs, best.value, error, kink)

    def _rounding(self, name: str, scheme: Scheme, question: Question, rungs: Rungs, draws: Array, h: float) -> Array:
        """The error of a complex step."""
        values, some = rungs.values[-1], draws[:_MOVED]
        change = 0.0
        with suppress(LayerFailure):  # the move leaves the domain of a forward
            only = replace(question, others={})
            if not self._kept:
                self._kept.append(self.nearby())
            again = sweep_of(self.draws)(self._kept[0], name, some, scheme, only, np.array([h])).values[-1]
            moved_by = np.where(rungs.kink[-1][: len(some)], 0.0, np.abs(again - values[: len(some)]))
            change = float(np.max(moved_by, initial=0.0))
        known = np.nan_to_num(self.magnitude(name), nan=0.0, posinf=0.0)
        greatest = float(np.max(np.abs(values), initial=0.0))
        lost = 2.0**20 * float(np.finfo(np.float64).smallest_subnormal) / h
        summed = 16 * rungs.magnitude + 64 * greatest + 2 * known
        return np.asarray(_UNIT * summed + 10 * change + lost)

    def _spread_out(
        self, name: str, scheme: Scheme, h: float, draws: Array, rungs: Rungs, value: Array, error: Array, kink: Array
    ) -> Estimate:
        def over(values: Array) -> Array:
            full = np.zeros(self.draws.count, dtype=values.dtype)
            full[draws] = values
            return full

        known = float(np.nan_to_num(self.magnitude(name), nan=0.0, posinf=0.0))
        return Estimate(
            scheme=scheme.name,
            step=h,
            value=over(value),
            error=over(error),
            magnitude=over(np.maximum(rungs.magnitude, known)),
            kink=over(kink),
            inside=np.zeros(self.draws.count, dtype=bool),
            reduced={key: over(values) for key, values in rungs.reduced.items()},
            checked=over(np.full(len(draws), True)),
        )
