"""K copies of the batch side by side, stacked along the batch axis where samples do not see each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Copies:
    """The unperturbed arrays, and how to lay K copies of them beside each other.

    arrays   every array at the point, activations included
    samples  the names of those that have samples on axis 0
    """

    def __init__(self, arrays: Mapping[str, Array], samples: frozenset[str], batch_size: int, count: int) -> None:
        self.arrays, self.samples, self.batch_size, self.count = arrays, samples, batch_size, count
        self._tiled: dict[str, Array] = {}

    def stacked(self, names: Sequence[str], changed: Mapping[str, Array]) -> dict[str, Array]:
        """The named arrays for a forward pass over all copies at once: (K N, ...).

        changed holds (K, N, ...) for the arrays that differ; the others are repeated if they have samples.
        """
        return {name: _flat(changed[name]) if name in changed else self._repeated(name) for name in names}

    def one(self, k: int, names: Sequence[str], changed: Mapping[str, Array]) -> dict[str, Array]:
        """The named arrays for a forward pass over copy k alone: (N, ...)."""
        return {name: changed[name][k] if name in changed else self.arrays[name] for name in names}

    def sample(self, i: int, names: Sequence[str], arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The named arrays for sample i alone: (1, ...)."""
        return {name: arrays[name][i : i + 1] if name in self.samples else arrays[name] for name in names}

    def _repeated(self, name: str) -> Array:
        array = self.arrays[name]
        if name not in self.samples or self.count == 1:
            return array
        if name not in self._tiled:
            self._tiled[name] = np.tile(array, (self.count, *[1] * (array.ndim - 1)))
        return self._tiled[name]


def _flat(array: Array) -> Array:
    return array.reshape(-1, *array.shape[2:])
