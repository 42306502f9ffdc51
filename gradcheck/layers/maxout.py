"""Greatest of several features (Goodfellow et al. 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.maths import argmax, at


@dataclass(frozen=True)
class Maxout(Layer):
    """Greatest of each k neighbours along an axis (Goodfellow et al. 2013, Maxout Networks).

    forward     y  = X[m],  m = argmax X        x (N, ..., k M, ...)    y, m (N, ..., M, ...)
                                                X (N, ..., M, k, ...)   x, its axis in M groups of k neighbours

    backward    dX = dy at m, else 0            dX (N, ..., M, k, ...)
                dx = dX, in the shape of x      dx (N, ..., k M, ...)

    verified    a composition with torch.amax; obvious loops

    k is pool_size, the axis is `dim`. Behind a linear layer of k M features this is the maxout unit. The first of equal
    maxima is taken; there, where there is no derivative, the whole gradient goes to it.
    """

    pool_size: Annotated[int, Meta(ge=1)]
    dim: int = -1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, is not that of the batch, and has whole groups."""
        require_inner_axis(self.dim, x_shapes[0])
        size = x_shapes[0][self.dim]
        if size % self.pool_size:
            raise ShapeError(f"needs places on axis {self.dim} divisible by pool_size={self.pool_size}, got {size}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = X[m], m = argmax X."""
        X, axis = self._groups(x)
        m = argmax(X, axis)
        return at(X, m, axis).squeeze(axis), (m, X.shape, x.shape)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dX = dy at m, else 0."""
        m, grouped, x_shape = cache
        axis = self.dim % len(x_shape) + 1
        dX = np.zeros(grouped, dy.dtype)
        np.put_along_axis(dX, m, np.expand_dims(dy, axis), axis)
        return dX.reshape(x_shape), {}

    def branches(self, x: Array) -> Array:
        """m, the place of the greatest in its group; −1 − m where it is attained twice."""
        X, axis = self._groups(x.real)
        m = argmax(X, axis)
        tied = (at(X, m, axis) == X).sum(axis=axis, keepdims=True) > 1
        return np.where(tied, -1 - m, m).squeeze(axis)

    def _groups(self, x: Array) -> tuple[Array, int]:
        """X, and its axis of k neighbours."""
        axis = self.dim % x.ndim + 1
        return x.reshape(*x.shape[: axis - 1], -1, self.pool_size, *x.shape[axis:]), axis
