"""Points beside a tie: where equal numbers differ, by less than a step, in one order or another.

A function that permutes (sorting, the median, the k greatest) has as many limits of its Jacobian at a tie as there are
orders, and the one-sided slopes along the axes show few of them: of three equal numbers that are sorted, none moves the
one in the middle by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: Orders in which each of so many equal numbers has every rank once, and orders at random.
_ROTATIONS, _RANDOM = 16, 8


def untied(array: Array, per_sample: bool) -> Iterator[Array]:
    """Moves in [0, 1] by which equal numbers (of a sample) come to differ, in orders that rotate, then in random ones.

    Other numbers move at random.
    """
    rows = array.reshape(len(array), -1) if per_sample and array.ndim else array.reshape(1, -1)
    rank, size = _ranks(rows)
    rng = np.random.default_rng(array.size)
    still = rng.random(rows.shape)
    count = min(int(size.max(initial=1)), _ROTATIONS)
    for k in range(count):
        turned = (rank + np.round(k * size / count)) % size / size
        yield np.where(size > 1, turned, still).reshape(array.shape)
    for _ in range(_RANDOM):
        yield rng.random(array.shape)


def _ranks(rows: Array) -> tuple[Array, Array]:
    """Of every number its place among its equals in the row, and how many they are."""
    rank, size = np.zeros(rows.shape), np.ones(rows.shape)
    for row, places, sizes in zip(rows, rank, size, strict=True):
        order = np.argsort(row, kind="stable")
        _, first, which, counts = np.unique(row[order], return_index=True, return_inverse=True, return_counts=True)
        places[order] = np.arange(len(row)) - first[which]
        sizes[order] = counts[which]
    return rank, size
