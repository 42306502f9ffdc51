"""Sensitivity: how small a mistake is still called wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _trust.nets import REAL, SMALL, Net, draw_net
from _trust.planting import Mistake, plant
from _trust.recipes import NoRecipe, Units
from gradcheck.findings import Row
from gradcheck.pipeline import Outcome, run_case
from gradcheck.spec.case import Case

Array = NDArray[Any]
#: The loss of half of the trials is multiplied by this: a tolerance that is not relative shows here.
TINY = 1e-8
_LARGE = 0.1


@dataclass(frozen=True)
class Setting:
    """One line of the table: how it is checked, and a mistake that must be caught.

    large  only entries above a tenth of the tensor's greatest are drawn
    """

    name: str
    method: str
    dtype: str
    r: float
    large: bool = False


SETTINGS = (
    Setting("complex step", "auto", "float64", 1e-10),
    Setting("differences", "central", "float64", 1e-6),
    Setting("differences alone", REAL, "float64", 1e-6),
    Setting("float32 backward", "auto", "float32", 1e-3),
    Setting("float32 backward, large entries", "auto", "float32", 1e-4, large=True),
)
#: What is planted: one entry or a whole tensor, with the loss as it is or multiplied by `TINY`.
KINDS = tuple((what, scale) for what in ("entry", "tensor") for scale in (1.0, TINY))


@dataclass(frozen=True)
class Catch:
    """One mistake, planted. `size` is |g| of the entry relative to the greatest of its tensor.

    verdict  of the entry; of the tensor's row where the whole tensor is wrong
    """

    setting: str
    what: str
    scale: float
    net: int
    name: str
    index: tuple[int, ...]
    size: float
    verdict: str


def trial(task: tuple[int, int, int]) -> list[Catch]:
    """All mistakes of one setting in one net: (seed, number of the net, number of the setting)."""
    seed, index, number = task
    setting = SETTINGS[number]
    rng = np.random.default_rng([seed, index, number])
    for attempt in range(100):
        net = draw_net(Units.of_catalogue(), seed + 1 + attempt, index, SMALL)
        case = net.case(setting.dtype, setting.method)
        entry = _entry(run_case(case, ""), setting, rng, _taken_once(case))
        if entry is not None:
            return [_caught(net, setting, what, scale, *entry) for what, scale in KINDS]
    raise NoRecipe(setting.name, f"no entry of net {index} has a gradient to get wrong")


def _taken_once(case: Case) -> list[str]:
    """The parameters, and the inputs that one layer or term takes once: there a share is the whole gradient."""
    nodes, terms = case.network.nodes, case.network.terms
    taken = Counter([*(n for node in nodes for n in node.inputs), *(p for term in terms for p in term.predictions)])
    return [*case.point.parameters, *(name for name in case.point.inputs if taken[name] == 1)]


def _entry(
    outcome: Outcome, setting: Setting, rng: np.random.Generator, allowed: Sequence[str]
) -> tuple[str, tuple[int, ...], float] | None:
    """A random entry of a random tensor that has a gradient: not at a kink, not zero, not in a vacuous tensor."""
    found = outcome.gradients
    names = [row.name for row in outcome.report.rows if row.name in allowed]
    for name in rng.permutation(names):
        numeric, bar, verdict = (found[f"{name}/{part}"] for part in ("numeric", "bar", "verdict"))
        size = np.abs(numeric)
        greatest = float(size.max(initial=0.0))
        least = _LARGE * greatest if setting.large else 0.0
        eligible = np.flatnonzero((verdict != "kink") & (size > least) & bool(np.any(size > bar)))
        if eligible.size:
            index = tuple(int(i) for i in np.unravel_index(rng.choice(eligible), size.shape))
            return str(name), index, float(size[index]) / greatest
    return None


def _caught(
    net: Net, setting: Setting, what: str, scale: float, name: str, index: tuple[int, ...], size: float
) -> Catch:
    case = replace(net, weight=scale * net.weight).case(setting.dtype, setting.method)
    verdict = judged(case, Mistake(name, index if what == "entry" else None, setting.r), index)
    return Catch(setting.name, what, scale, net.index, name, index, size, verdict)


def judged(case: Case, mistake: Mistake, index: tuple[int, ...]) -> str:
    """The verdict on the entry at `index`; on the whole row where the mistake is in all of it."""
    outcome = run_case(plant(case, mistake), "")
    if mistake.index is not None:
        return str(outcome.gradients[f"{mistake.name}/verdict"][index])
    rows: Mapping[str, Row] = {row.name: row for row in outcome.report.rows}
    return rows[mistake.name].verdict


def tasks(seed: int, trials: Iterable[int]) -> list[tuple[int, int, int]]:
    """One task for each setting and trial."""
    return [(seed, index, number) for index in trials for number in range(len(SETTINGS))]


@dataclass(frozen=True)
class Share:
    """One cell group of the table: of how many trials, which share was called `fail`, which `inconclusive`.

    missed  the trials in which the mistake was not called wrong
    """

    setting: Setting
    what: str
    scale: float
    trials: int
    caught: float
    inconclusive: float
    missed: tuple[Catch, ...]


def shares(catches: Sequence[Catch]) -> list[Share]:
    """One row for each setting and kind of mistake."""
    table = []
    for setting in SETTINGS:
        for what, scale in KINDS:
            some = [c for c in catches if (c.setting, c.what, c.scale) == (setting.name, what, scale)]
            verdicts = [c.verdict for c in some]
            count = max(1, len(some))
            missed = tuple(c for c in some if c.verdict != "fail")
            caught, unsure = verdicts.count("fail") / count, verdicts.count("inconclusive") / count
            table.append(Share(setting, what, scale, len(some), caught, unsure, missed))
    return table
