"""K copies of one array that differ from it in one block of one axis each: a column, a channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Columns:
    """By how much K copies of an array (N, ..., F, ...) differ from it, where each does so in one block of an axis.

    axis    which axis of the array; it is cut into F / w blocks of width w
    index   (K,)                    the block in which copy k differs
    moves   (K, N, ..., w, ...)     by how much it does
    """

    axis: int
    index: NDArray[np.intp]
    moves: Array

    @property
    def width(self) -> int:
        """w."""
        return int(self.moves.shape[1 + self.axis])

    def of(self, array: Array) -> Array:
        """Of an array with the same blocks those that differ: (K, N, ..., w, ...)."""
        before, after = array.shape[: self.axis], array.shape[self.axis + 1 :]
        found: Array = np.moveaxis(array.reshape(*before, -1, self.width, *after), self.axis, 0)[self.index]
        return found

    def dense(self, shape: tuple[int, ...]) -> Array:
        """By how much the copies differ everywhere, for an array of that shape: (K, *shape)."""
        copies = np.zeros((len(self.index), *shape), dtype=self.moves.dtype)
        before, after = copies.shape[: self.axis + 1], copies.shape[self.axis + 2 :]
        cut = copies.reshape(*before, -1, self.width, *after)
        np.moveaxis(cut, self.axis + 1, 1)[np.arange(len(self.index)), self.index] = self.moves
        return copies

    def moved(self, base: Array) -> Array:
        """The copies written out: (K, N, ..., F, ...)."""
        copies = self.dense(base.shape)
        copies += base
        return copies

    def with_moves(self, moves: Array) -> Columns:
        """Other moves of the same blocks."""
        return replace(self, moves=moves)
