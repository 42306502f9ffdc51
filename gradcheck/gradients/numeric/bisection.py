"""Wrong entries found by halving: which parts of a tensor a difference along one fixed direction comes from.

With d(S) = Σ_{e in S} (aₑ - nₑ) vₑ for a fixed direction v, differences of halves add up, so one evaluation is enough
for both:

    d(right half) = d(S) - d(left half)

A half with |d| ≤ bar is left alone, where the bar is that of the whole direction. Of a part that is wrong at least one
half is. A wrong entry among n costs log₂ n evaluations, several share the first few; where too many parts are wrong the
mistake is dense, and halving would only sweep every entry: then it is the slices of the tensor that are halved, axis by
axis, as a mistake that is dense in a row or a column is sparse among the rows or the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Array = NDArray[Any]
#: More wrong parts than this are dense.
MOST = 16
#: No search takes more evaluations; one for sixteen entries among a million takes 271.
BUDGET = 300
#: d of some parts of a tensor: it is given masks of the direction, a function each that leaves out all but a part.
Measure = Callable[[Sequence[Callable[[Array], Array]]], Sequence[float]]
#: A part of a tensor or of an axis, from the first to before the last, and its difference.
_Part = tuple[int, int, float]


class Search(Struct, frozen=True):
    """What halving has found.

    wrong        flat indices, or slices of an axis
    dense        whether too many parts are wrong for the search to go on; `wrong` is what was found by then
    evaluations  how many there were
    open         the parts that were wrong when the search was given up, single entries included
    """

    wrong: tuple[int, ...]
    dense: bool
    evaluations: int
    open: tuple[_Part, ...] = ()


def entries(measure: Measure, size: int, difference: float, bar: float) -> Search:
    """The wrong entries of a tensor, as flat indices.

    difference  along the whole direction; it exceeds the bar
    """
    return _search(lambda parts: measure([_of_entries(*part) for part in parts]), size, difference, bar)


def slices(measure: Measure, shape: tuple[int, ...], axis: int, difference: float, bar: float) -> Search:
    """The wrong slices of a tensor along one axis."""
    return _search(lambda parts: measure([_of_slices(axis, *part) for part in parts]), shape[axis], difference, bar)


def one_of(measure: Measure, search: Search) -> tuple[int, int]:
    """The entry that most of the greatest open part comes from, and how many evaluations that took."""
    start, stop, difference = max(search.open, key=lambda part: _size(part[2]))
    evaluations = 0
    while stop - start > 1:
        middle = (start + stop) // 2
        (left,) = measure([_of_entries(start, middle)])
        evaluations += 1
        if _size(left) >= _size(difference - left):
            stop, difference = middle, left
        else:
            start, difference = middle, difference - left
    return start, evaluations


def _search(measure: Callable[[Sequence[tuple[int, int]]], Sequence[float]], size: int, d: float, bar: float) -> Search:
    parts: list[_Part] = [(0, size, d)]
    single: list[_Part] = []
    evaluations = 0
    while parts:
        single += [part for part in parts if part[1] - part[0] == 1]
        parts = [part for part in parts if part[1] - part[0] > 1]
        if len(single) + len(parts) > MOST or evaluations + len(parts) > BUDGET:
            return Search(_starts(single), True, evaluations, (*single, *parts))
        halves = [(start, (start + stop) // 2) for start, stop, _ in parts]
        found = measure(halves) if halves else ()
        evaluations += len(halves)
        parts = [half for part, left in zip(parts, found, strict=True) for half in _wrong_halves(part, left, bar)]
    return Search(_starts(single), False, evaluations)


def _starts(parts: Sequence[_Part]) -> tuple[int, ...]:
    return tuple(sorted(start for start, *_ in parts))


def _wrong_halves(part: _Part, left: float, bar: float) -> list[_Part]:
    start, stop, difference = part
    middle = (start + stop) // 2
    both = [(start, middle, left), (middle, stop, difference - left)]
    return [half for half in both if _size(half[2]) > bar] or [max(both, key=lambda half: _size(half[2]))]


def _size(difference: float) -> float:
    """What is not finite is wrong in any case."""
    return abs(difference) if np.isfinite(difference) else np.inf


def _of_entries(start: int, stop: int) -> Callable[[Array], Array]:
    def masked(signs: Array) -> Array:
        some = np.zeros_like(signs)
        some.reshape(-1)[start:stop] = signs.reshape(-1)[start:stop]
        return some

    return masked


def _of_slices(axis: int, start: int, stop: int) -> Callable[[Array], Array]:
    def masked(signs: Array) -> Array:
        some = np.zeros_like(signs)
        where = (slice(None),) * axis + (slice(start, stop),)
        some[where] = signs[where]
        return some

    return masked
