"""What poolings over windows of one and two axes have in common: the way there and back."""

from __future__ import annotations

from abc import abstractmethod
from functools import reduce
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._windows import Windows, by


class MaxPooling(Layer):
    """y = X[m], m = argmax X, of the windows X of x."""

    @property
    @abstractmethod
    def _windows(self) -> Windows: ...

    def check(self, *x_shapes: Shape) -> None:
        """Images that hold a whole window, and in every window at least one of their pixels."""
        windows = self._windows
        windows.check_pooling(x_shapes[0])
        if not windows.pixels(x_shapes[0]).all():
            sizes = by(x_shapes[0][2:])
            raise ShapeError(f"needs a pixel of the image in every window, got one of padding alone on {sizes} pixels")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = X[m], m = argmax X."""
        y, m = self._greatest(x)
        return y, (x.shape, m)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dX = dy at m, given back to the pixels."""
        x_shape, m = cache
        dX = [np.where(m == place, dy, 0) for place in range(self._windows.size)]
        return self._windows.give_back(dX, x_shape), {}

    def branches(self, *inputs: Array, **parameters: Any) -> Array:
        """m, the place of the maximum in its window, rows first; −1 − m where the maximum is attained twice."""
        x = inputs[0].real
        y, m = self._greatest(x)
        attained = sum(entry == y for entry in self._windows.places(x, -np.inf))
        places: Array = np.where(attained > 1, -1 - m, m)
        return places

    def _greatest(self, x: Array) -> tuple[Array, Array]:
        """X[m] and m, the first of equal maxima, judged by the real part; NaN stays NaN."""
        y, *others = self._windows.places(x, -np.inf)
        m = np.zeros(y.shape, int)
        for place, entry in enumerate(others, start=1):
            greater = (entry.real > y.real) | np.isnan(entry.real)
            y, m = np.where(greater, entry, y), np.where(greater, place, m)
        return y, m


class AvgPooling(Layer):
    """y = Σ X / D, of the windows X of x."""

    count_include_pad: bool

    @property
    @abstractmethod
    def _windows(self) -> Windows: ...

    def check(self, *x_shapes: Shape) -> None:
        """Images that hold a whole window, and a padding of at most half of it."""
        self._windows.check_pooling(x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = Σ X / D."""
        X = self._windows.places(x)
        return reduce(np.add, X) / self._divisor(x.shape, x.real.dtype), x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dX = dy / D, given back to the pixels."""
        dX = dy / self._divisor(cache, dy.dtype)
        return self._windows.give_back([dX] * self._windows.size, cache), {}

    def carry(self, moves: Array, **parameters: Any) -> Array:
        """y moves as x does."""
        return self.forward(moves)[0]

    def _divisor(self, x_shape: Shape, dtype: Any) -> int | Array:
        """D, one number or one for each window."""
        if not self.count_include_pad:
            return self._windows.pixels(x_shape).astype(dtype)
        return self._windows.cells(x_shape).astype(dtype) if self._windows.ceil_mode else self._windows.size
