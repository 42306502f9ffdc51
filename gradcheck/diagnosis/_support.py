"""Where entries lie, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.suspect import Suspect

Array = NDArray[Any]
_SHOWN = 5


def support(marked: Array, suspect: Suspect) -> str:
    """`in sample 2`, `in rows 1 and 3`, `in 5 of 12 entries`: the slices that hold exactly these entries, or a "
    "count."""
    for axis in range(marked.ndim):
        others = tuple(k for k in range(marked.ndim) if k != axis)
        some, every = np.any(marked, axis=others), np.all(marked | ~suspect.known, axis=others)
        if some.any() and not some.all() and np.all(every[some]) and marked.ndim > 1:
            return f"in {_noun(axis, marked.ndim, suspect)} {_listed(np.flatnonzero(some).tolist())}"
    if marked.all():
        return "everywhere"
    at = [str(list(map(int, index))) for index in np.argwhere(marked)[:_SHOWN]]
    more = int(marked.sum()) - len(at)
    return (
        f"in {int(marked.sum()):,} of {marked.size:,} entries ({', '.join(at)}{f' and {more:,} more' if more else ''})"
    )


def _noun(axis: int, ndim: int, suspect: Suspect) -> str:
    if axis == 0 and suspect.per_sample:
        return "sample"
    if ndim == 2:
        return ("row", "column")[axis]
    return f"slice (axis {axis})"


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return shown if len(numbers) <= _SHOWN else f"{shown} and {len(numbers) - _SHOWN:,} more"
