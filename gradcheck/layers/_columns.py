"""K copies of one array that differ from it in one column of the last axis each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Columns:
    """Copies of `base`, written as what is different about them.

    base    (N, ..., F)   the array that is copied
    index   (K,)          the column of copy k that differs
    values  (K, N, ...)   what stands in that column
    """

    base: NDArray[Any]
    index: NDArray[np.intp]
    values: NDArray[Any]

    def dense(self) -> NDArray[Any]:
        """The copies written out: (K, N, ..., F)."""
        copies = np.empty((len(self.index), *self.base.shape), dtype=self.values.dtype)
        copies[...] = self.base
        copies[np.arange(len(self.index)), ..., self.index] = self.values
        return copies

    def of_base(self, array: NDArray[Any] | None = None) -> NDArray[Any]:
        """The same columns of `array` (by default of the base): (K, N, ...)."""
        return np.moveaxis((self.base if array is None else array)[..., self.index], -1, 0)

    def with_values(self, base: NDArray[Any], values: NDArray[Any]) -> Columns:
        """The same columns of another array."""
        return Columns(base, self.index, values)
