"""K copies of one array that differ from it in one block of one axis each: a column, a channel."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class Columns(msgspec.Struct, frozen=True):
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
        if array.ndim == 2 and self.axis == 1 == self.moves.shape[2]:
            columns: Array = array.T.take(self.index, 0)[:, :, None]
            return columns
        cut = array.reshape(self._cut_shape(array.shape))
        order = (self.axis, *range(self.axis), *range(self.axis + 1, cut.ndim))
        found: Array = cut.transpose(order)[self.index]
        return found

    def dense(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        """By how much the copies differ everywhere, for an array of that shape: (K, *shape)."""
        copies = np.zeros((len(self.index), *shape), dtype=dtype or self.moves.dtype)
        blocks = np.moveaxis(copies.reshape(len(copies), *self._cut_shape(shape)), self.axis + 1, 1)
        blocks[np.arange(len(self.index)), self.index] = self.moves
        return copies

    def moved(self, base: Array) -> Array:
        """The copies written out: (K, N, ..., F, ...)."""
        copies = self.dense(base.shape, np.result_type(self.moves, base))
        copies += base
        return copies

    def with_moves(self, moves: Array) -> Columns:
        """Other moves of the same blocks."""
        return Columns(self.axis, self.index, moves)

    def _cut_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of an array whose axis is cut into blocks: (N, ..., F / w, w, ...)."""
        return (*shape[: self.axis], shape[self.axis] // self.width, self.width, *shape[self.axis + 1 :])
