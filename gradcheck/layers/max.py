"""Maximum along one or several axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axes import Dims, axes_of, require_inner_axes, spread
from gradcheck.maths import argmax, at


@dataclass(frozen=True)
class Max(Layer):
    """Maximum along one or several axes.

    forward     y  = x[m],  m = argmax x        x (N, ...)   y, m (N, ...)  without the axes `dim`

    backward    dx = dy at m, else 0            dx (N, ...)

    verified    torch.amax; obvious loops

    With keepdim those axes stay, with length 1. The first of equal maxima is taken, in row-major order; there, where
    there is no derivative, the whole gradient goes to it.
    """

    dim: Dims = -1
    keepdim: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """The axes exist, and none is that of the batch."""
        require_inner_axes(self.dim, x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x[m], m = argmax x."""
        rows = self._rows(x)
        m = argmax(rows, -1)
        y = spread(at(rows, m, -1), axes_of(self.dim, x.ndim), x.shape)
        return y if self.keepdim else self._without(y), (m, x.shape)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy at m, else 0."""
        m, x_shape = cache
        rows = self._rows(np.zeros(x_shape, dy.dtype))
        np.put_along_axis(rows, m, dy.reshape(m.shape), -1)
        return self._from_rows(rows, x_shape), {}

    def branches(self, x: Array) -> Array:
        """m, the place of the maximum, in the order of rows; −1 − m where it is attained twice."""
        rows = self._rows(x.real)
        m = argmax(rows, -1)
        tied = (rows == at(rows, m, -1)).sum(axis=-1, keepdims=True) > 1
        return np.where(tied, -1 - m, m)[..., 0]

    def _rows(self, x: Array) -> Array:
        """x with the axes `dim` as one, the last: a copy."""
        axes = axes_of(self.dim, x.ndim)
        moved = np.moveaxis(x, axes, range(-len(axes), 0))
        return moved.reshape(*moved.shape[: -len(axes)], -1).copy()

    def _from_rows(self, rows: Array, x_shape: Shape) -> Array:
        """The inverse of `_rows`."""
        axes = axes_of(self.dim, len(x_shape))
        apart = rows.reshape(*rows.shape[:-1], *[x_shape[axis] for axis in axes])
        return np.moveaxis(apart, range(-len(axes), 0), axes)

    def _without(self, y: Array) -> Array:
        return y.squeeze(axes_of(self.dim, y.ndim))
