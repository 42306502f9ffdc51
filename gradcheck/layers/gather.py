"""Entries of the first input, chosen along an axis by the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.layers._several_inputs import two


@dataclass(frozen=True)
class Gather(Layer):
    """Entries of the first input, chosen along an axis by the integers of the second.

    forward     y[.., m, ..]  = x[.., i[.., m, ..], ..]      x (N, ..., S, ...)   i, y (N, ..., M, ...)

    backward    dx[.., s, ..] = Σ_{i = s} dy                 dx (N, ..., S, ...)  summed over every m that chose s

    verified    torch.gather; obvious loops

    The axis is `dim`; the others are equal in both inputs. Integers have no gradient.
    """

    dim: int = 1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, is not that of the batch, and is the only one in which the inputs differ."""
        x, i = two(x_shapes)
        require_inner_axis(self.dim, x)
        axis = self.dim % len(x)
        if len(i) != len(x) or i[:axis] != x[:axis] or i[axis + 1 :] != x[axis + 1 :]:
            raise ShapeError(f"needs inputs that are equal in every axis but {axis}, got {x} and {i}")

    def forward(self, x: Array, index: Array) -> tuple[Array, Any]:
        """y = x at i."""
        size = x.shape[self.dim]
        if index.dtype.kind not in "iu":
            raise ShapeError(f"needs integers from 0 to {size - 1} as its second input, got {index.dtype}")
        wrong = index[(index < 0) | (index >= size)]
        if wrong.size:
            raise ShapeError(f"needs integers from 0 to {size - 1} as its second input, got {wrong.flat[0]}")
        return np.take_along_axis(x, index, self.dim), (x.shape, index)

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array, None], dict[str, Array]]:
        """dx = Σ dy over every choice."""
        x_shape, index = cache
        places = list(np.ix_(*[np.arange(n) for n in index.shape]))
        places[self.dim] = index
        dx = np.zeros(x_shape, dy.dtype)
        np.add.at(dx, tuple(places), dy)
        return (dx, None), {}
