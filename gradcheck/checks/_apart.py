"""Where arrays that should be equal differ by more than rounding, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import contraction_bound, entry_name
from gradcheck.checks._callee import Callee, greatest

Array = NDArray[Any]
#: Beyond so many terms blocked sums no longer round as if they were added one by one, in parts of 1/u.
_BLOCKED = 2.0**-7
_INNER_TERMS = 64


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


class Slack:
    """2 γ_K max|B| + 10 s: the bound of an identity of a backward B, by gradient.

    terms   K, as many as there are numbers in the upstream gradient
    values  of B, whose greatest counts
    spread  measures s, by gradient: asked for once, where something exceeds the rest of the bound
    """

    def __init__(
        self, callee: Callee, terms: int, values: Sequence[Mapping[str, Array]],
        spread: Callable[[], Mapping[str, float]],
    ) -> None:  # fmt: skip
        gamma = contraction_bound(int(min(terms, _BLOCKED / callee.unit)) + _INNER_TERMS, callee.unit)
        sizes = {name: max(greatest(value[name]) for value in values) for name in values[0]}
        self._least = {name: 2 * gamma * size + callee.underflow for name, size in sizes.items()}
        self._spread = cache(spread)

    def apart(self, name: str, expected: Array, found: Array, times: float = 1.0, least: float = 0.0) -> str:
        """Where a gradient is off by more than so many times the bound and something least, in words; or empty."""
        least += times * self._least[name]
        if not where_apart(name, expected, found, least):
            return ""
        return where_apart(name, expected, found, least + 10 * times * self._spread()[name], "should be", "is")
