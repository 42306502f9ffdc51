"""Which entries of a tensor are perturbed, and the copies of the tensor in which they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Moves(msgspec.Struct, frozen=True):
    """What is perturbed: for copy k, entry entries[k] of the array `name`.

    fused  the entries are features of one sample (an index without the batch axis), moved in all samples at once
    """

    name: str
    entries: Array
    shape: tuple[int, ...]
    fused: bool

    def __len__(self) -> int:
        return len(self.entries)

    def index(self) -> tuple[Array, ...]:
        """The entries as `numpy.nonzero` gives them."""
        shape = self.shape[1:] if self.fused else self.shape
        if len(shape) == 1:
            return (self.entries,)
        return np.unravel_index(self.entries, shape) if shape else ()

    def units(self) -> Array:
        """Flat positions in the array of what moves: (K, 1), or (K, N) where all samples are moved at once."""
        if not self.fused:
            return self.entries[:, None]
        positions: Array = self.entries[:, None] + int(np.prod(self.shape[1:])) * np.arange(self.shape[0])
        return positions

    def applied(self, array: Array, steps: Array | complex) -> Array:
        """The copies: (K, *shape), each with its entry moved by its step.

        steps is one for all, or (K,), or (K, N) where all samples are moved at once and each has a step of its own.
        """
        moved = np.empty((len(self), *array.shape), dtype=np.result_type(array, steps))
        moved[...] = array
        where = (np.arange(len(self)), *((slice(None),) if self.fused else ()), *self.index())
        moved[where] += np.reshape(steps, (-1, 1)) if self.fused and np.ndim(steps) == 1 else steps
        return moved

    def each(self, array: Array, steps: Array | complex) -> Iterator[Array]:
        """The copies one after the other, in one and the same array."""
        moved = np.array(array, dtype=np.result_type(array, steps))
        for entry, step in zip(self.entries, self.one_each(steps), strict=True):
            kept = moved.flat[entry]
            moved.flat[entry] = kept + step
            yield moved
            moved.flat[entry] = kept

    def one_each(self, steps: Array | complex) -> Array:
        """A step for each copy: (K,)."""
        if isinstance(steps, np.ndarray):
            return steps
        each = np.empty(len(self.entries), dtype=type(steps))
        each.fill(steps)
        return each

    def chunks(self, size: int) -> Iterator[Moves]:
        """The same moves, so many at a time."""
        if len(self.entries) <= size:
            yield self
            return
        for start in range(0, len(self.entries), size):
            yield Moves(self.name, self.entries[start : start + size], self.shape, self.fused)
