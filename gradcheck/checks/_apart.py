"""Where arrays that should be equal differ by more than rounding, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import entry_name
from gradcheck.checks._callee import greatest

Array = NDArray[Any]


def where_apart(name: str, expected: Array, found: Array, slack: float, was: str = "was", then: str = "then") -> str:
    """Where one differs by more than rounding from what is expected; empty if nowhere, or where that is not finite."""
    if identical(expected, found):
        return ""
    if found.shape != expected.shape:
        return f"{name} {was} of shape {expected.shape}, {then} {found.shape}"
    with np.errstate(invalid="ignore"):
        distance = np.abs(found.astype(np.float64) - expected)
    wrong = np.isfinite(expected) & ~(distance <= slack)
    if not wrong.any():
        return ""
    worst = np.where(wrong, np.where(np.isfinite(distance), distance, np.inf), -1.0)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(worst)), worst.shape))
    count = f"{int(wrong.sum()):,} of {wrong.size:,} entries"
    place = entry_name(name, index) if index else name
    return f"{place} {was} {expected[index]:.6g}, {then} {found[index]:.6g} ({count})"


def identical(one: Array, other: Array) -> bool:
    """Whether all numbers are equal; NaN is not."""
    return one.shape == other.shape and bool((one == other).all())


def grows(series: Sequence[Array], slack: float) -> bool:
    """Whether each of the gradients is by the same greater than the one before."""
    steps = [after.astype(np.float64) - before for before, after in pairwise(series)]
    return bool(greatest(steps[0]) > slack and all(greatest(step - steps[0]) <= 4 * slack for step in steps))
