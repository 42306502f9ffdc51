"""The same questions to other checkers: false alarms and sensitivity, on the workloads that all of them can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from _trust.fixed import WORKLOADS, workload
from _trust.peers import CHECKERS, Objective, accuses
from _trust.planting import Mistake, plant
from _trust.sensitivity import KINDS
from gradcheck.spec.case import Case

#: Relative sizes of the planted mistake, smallest first.
LADDER = (1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0)
CAUGHT = 0.95


@dataclass(frozen=True)
class Alarm:
    """Whether a checker called one correct gradient wrong."""

    checker: str
    workload: str
    dtype: str
    seed: int
    accused: bool


@dataclass(frozen=True)
class Reach:
    """The smallest mistake of the ladder that a checker saw in one network; None if it saw none.

    blind  whether the checker accuses the correct gradient, too: then it has seen nothing
    """

    checker: str
    workload: str
    what: str
    scale: float
    seed: int
    smallest: float | None
    blind: bool


def runnable() -> list[str]:
    """The checkers that are installed."""
    return [name for name, checker in CHECKERS.items() if not checker.missing]


def alarm_tasks(seed: int, seeds: int) -> list[tuple[str, str, str, int, int]]:
    """Every checker on every workload in every precision, with so many seeds."""
    return [
        (name, which, dtype, seed, k)
        for name in runnable()
        for which in WORKLOADS
        for dtype in CHECKERS[name].dtypes
        for k in range(seeds)
    ]


def alarm(task: tuple[str, str, str, int, int]) -> Alarm:
    """One checker on one correct network."""
    name, which, dtype, seed, k = task
    return Alarm(name, which, dtype, k, accuses(name, workload(which, (seed, k), dtype=dtype)))


def reach_tasks(seed: int, trials: int) -> list[tuple[str, str, int, int]]:
    """Every checker on every workload, in float64."""
    return [(name, which, seed, k) for name in runnable() for which in WORKLOADS for k in range(trials)]


def reach(task: tuple[str, str, int, int]) -> list[Reach]:
    """One checker on one network with mistakes of all kinds in one random entry and its tensor."""
    name, which, seed, k = task
    found = []
    for what, scale in KINDS:
        case = workload(which, (seed, k), weight=scale)
        tensor, index = _entry(case, np.random.default_rng([seed, k]))
        blind = accuses(name, case)
        smallest = None if blind else _smallest(name, case, tensor, index if what == "entry" else None)
        found.append(Reach(name, which, what, scale, k, smallest, blind))
    return found


def _entry(case: Case, rng: np.random.Generator) -> tuple[str, tuple[int, ...]]:
    """A random entry of a random tensor, among those whose gradient is not zero."""
    objective = Objective(case)
    gradients = dict(zip(objective.names, objective.gradients(objective.arrays), strict=True))
    name = str(rng.choice([n for n, g in gradients.items() if g.any()]))
    indices = np.argwhere(gradients[name])
    return name, tuple(int(i) for i in indices[rng.integers(len(indices))])


def _smallest(name: str, case: Case, tensor: str, index: tuple[int, ...] | None) -> float | None:
    """By bisection: whoever sees a mistake sees a greater one of the same kind."""
    low, high = 0, len(LADDER)
    while low < high:
        middle = (low + high) // 2
        if accuses(name, plant(case, Mistake(tensor, index, LADDER[middle]))):
            high = middle
        else:
            low = middle + 1
    return LADDER[low] if low < len(LADDER) else None


def reached(found: Sequence[Reach]) -> float | None:
    """The smallest mistake of the ladder that was seen in 95 % of the trials; None if none was."""
    for r in LADDER:
        seen = sum(one.smallest is not None and one.smallest <= r for one in found)
        if found and seen >= CAUGHT * len(found):
            return r
    return None
