"""Which way a case goes: every entry by itself, some entries, or whole tensors along random directions.

The choice follows from the size of the network and from what was asked for, never from a clock: the same command goes
the same way on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log10
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from gradcheck.gradients.numeric.cost import seconds_of_sweep
from gradcheck.gradients.numeric.probe import LEAST
from gradcheck.gradients.numeric.schemes import SCHEMES
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.spec.case import Case

#: A sweep that takes longer, in seconds, is not begun unless it is asked for.
PATIENCE = 8.0
#: Directions of each tensor that are drawn where nobody says how many: of two mistakes of the same size no more than
#: one pair in 2⁸ cancels along all of them.
USUAL = 8
#: An evaluation of real numbers beside one of complex ones.
_REAL = 1 / 3


class Course(Struct, frozen=True):
    """The way that a case goes.

    directions  how many of each tensor; 0 where entries are looked at one by one
    only        the entries that are evaluated, as flat indices by name; every one of a tensor that is not named
    why         in whole sentences
    """

    directions: int = 0
    only: Mapping[str, NDArray[np.intp]] = field(default_factory=dict)
    why: str = ""

    @property
    def is_short(self) -> bool:
        """Whether the tensors are so large that not every entry is looked at."""
        return bool(self.directions or self.only)


#: Every entry was looked at, and there is no more to be said about it.
SWEPT = Course()


def course(case: Case, stage: Stage, schemes: Mapping[str, tuple[str, str]]) -> Course:
    """Choose the way; `schemes` has the scheme for every tensor that is to be differentiated by."""
    entries = sum(stage.arrays[name].size for name in schemes)
    seconds = sum(seconds_of_sweep(stage, [name], _evaluations(scheme)) for name, (scheme, _) in schemes.items())
    asked, takes = case.gradient.directions, in_words(seconds)
    if case.gradient.entries:
        return _of_entries(case, stage, seconds)
    if asked == 0:
        return Course(why=f"Every entry was swept, as was asked for: about {takes} by the size of the network.")
    if asked is not None:
        fewest = f", the fewest that prove anything: two mistakes may cancel along {asked}" if asked < LEAST else ""
        count = max(asked, LEAST)
        return Course(count, why=f"Probed along {count:,} random directions of each tensor, as was asked for{fewest}.")
    if seconds <= PATIENCE:
        return Course(why=f"Every entry was swept: about {takes} by the size of the network.")
    return Course(
        USUAL,
        why=f"Probed along {USUAL} random directions of each tensor, because a sweep of {entries:,} entries would take "
        f"about {takes}; `--directions 0` forces it.",
    )


def _of_entries(case: Case, stage: Stage, seconds: float) -> Course:
    """The whole tensors where that is soon done, as an entry is judged beside the others; else these entries alone."""
    if seconds <= PATIENCE and not case.gradient.directions:
        return Course(why="Entries were looked at one by one, as was asked for.")
    only: dict[str, Any] = {}
    for name, index in case.gradient.entries:
        shape = stage.arrays[name].shape
        only.setdefault(name, set()).add(int(np.ravel_multi_index(index, shape)) if shape else 0)
    why = "Only the entries that were asked for were evaluated, as their tensors are large."
    return Course(only={name: np.array(sorted(entries)) for name, entries in only.items()}, why=why)


def _evaluations(scheme: str) -> float:
    """How often each copy is evaluated, in complex evaluations."""
    known = SCHEMES[scheme]
    return 1.0 if known.is_complex else 2 * _REAL * len(known.offsets)


def in_words(seconds: float) -> str:
    """One significant digit: it is no more than an estimate. `0.02 s`, `40 s`, `3 min`, `2 h`."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{_one_digit(seconds / size)} {unit}"
    return f"{_one_digit(max(seconds, 1e-3))} s"


def _one_digit(value: float) -> str:
    place = 10.0 ** floor(log10(value))
    return f"{round(value / place) * place:,.15g}"
