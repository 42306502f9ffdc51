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


def where_apart(
    name: str, expected: Array, others: Sequence[Array], slack: float, was: str = "was", then: str = "then"
) -> str:
    """Where others differ by more than rounding from a gradient, in words; empty if they do not."""
    for other in others:
        if identical(expected, other):
            continue
        if other.shape != expected.shape:
            return f"{name} {was} of shape {expected.shape}, {then} {other.shape}"
        with np.errstate(invalid="ignore"):
            distance = np.abs(other.astype(np.float64) - expected)
        wrong = np.isfinite(expected) & ~(distance <= slack)
        if wrong.any():
            worst = np.where(wrong, np.where(np.isfinite(distance), distance, np.inf), -1.0)
            index = tuple(int(i) for i in np.unravel_index(int(np.argmax(worst)), worst.shape))
            count = f"{int(wrong.sum()):,} of {wrong.size:,} entries"
            place = entry_name(name, index) if index else name
            return f"{place} {was} {expected[index]:.6g}, {then} {other[index]:.6g} ({count})"
    return ""


def identical(one: Array, other: Array) -> bool:
    """Whether all numbers are equal; NaN is not."""
    return one.shape == other.shape and bool((one == other).all())


def grows(series: Sequence[Array], slack: float) -> bool:
    """Whether each of the gradients is by the same greater than the one before."""
    steps = [after.astype(np.float64) - before for before, after in pairwise(series)]
    return bool(greatest(steps[0]) > slack and all(greatest(step - steps[0]) <= 4 * slack for step in steps))
