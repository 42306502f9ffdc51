"""K copies of the batch side by side, stacked along the batch axis where samples do not see each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric._domain import outside

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

    def outputs(
        self, forward: Callable[[Mapping[str, Array]], Sequence[Array]], names: Sequence[str],
        changed: Mapping[str, Array], together: bool,
    ) -> list[Array]:  # fmt: skip
        """What a layer makes of every copy: (K, N, ...), (K,) for a scalar; NaN outside of its domain.

        together  whether the copies may ride in one batch; then each sample is in the domain or outside by itself.
        LayerFailure where the layer raises at the unperturbed arrays too, or not every time.
        """
        try:
            return self._all_outputs(forward, names, changed, together)
        except LayerFailure as failure:
            if failure.code != "GC901":
                raise
            base = [np.asarray(y) for y in forward({name: self.arrays[name] for name in names})]
            found = [np.full((self.count, *y.shape), np.nan, dtype=np.result_type(y, *changed.values())) for y in base]
            units = np.arange(self.count * (self.batch_size if together else 1)).reshape(self.count, -1)

            def evaluate(part: Array, _: float) -> None:
                rows, samples = np.unravel_index(part, units.shape)
                where = (rows, samples) if together else (rows,)
                moved = {}
                for name, array in changed.items():
                    moved[name] = np.array(np.broadcast_to(self.arrays[name], array.shape), dtype=array.dtype)
                    moved[name][where] = array[where]
                for y, outputs in zip(found, self._all_outputs(forward, names, moved, together), strict=True):
                    y[where] = outputs[where]

            if not len(list(outside(evaluate, units.ravel()))):
                raise
            return found

    def _all_outputs(
        self, forward: Callable[[Mapping[str, Array]], Sequence[Array]], names: Sequence[str],
        changed: Mapping[str, Array], together: bool,
    ) -> list[Array]:  # fmt: skip
        if together:
            flat = map(np.asarray, forward(self.stacked(names, changed)))
            return [y.reshape(self.count, self.batch_size, *y.shape[1:]) for y in flat]
        each = [forward(self.one(k, names, changed)) for k in range(self.count)]
        return [np.stack(outputs) for outputs in zip(*each, strict=True)]

    def sample(self, i: int, names: Sequence[str], arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The named arrays for sample i alone: (1, ...)."""
        return {name: arrays[name][i : i + 1] if name in self.samples else arrays[name] for name in names}

    def _repeated(self, name: str) -> Array:
        array = self.arrays[name]
        if name not in self.samples or self.count == 1:
            return array
        if name not in self._tiled:
            self._tiled[name] = np.concatenate([array] * self.count)
        return self._tiled[name]


def _flat(array: Array) -> Array:
    return array.reshape(-1, *array.shape[2:])
