"""Several axes as one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._columns import Columns


@dataclass(frozen=True)
class Flatten(Layer):
    """Several axes as one, in row-major order; by default all behind the batch axis.

    forward     y  = x, in the shape (N, ..., M, ...)     x (N, ..., A, ..., B, ...)   M = A ⋯ B

    backward    dx = dy, in the shape of x                dx (N, ..., A, ..., B, ...)

    verified    torch.flatten; obvious loops

    A is the axis start_dim and B the axis end_dim; a negative one counts from the end.
    """

    start_dim: int = 1
    end_dim: int = -1

    def check(self, *x_shapes: Shape) -> None:
        """Axes that exist, in order, without the batch axis."""
        shape = x_shapes[0]
        if len(shape) < 2:
            raise ShapeError(f"needs an input with an axis behind the batch, got {shape}")
        start, end = self._axes(shape)
        if not 1 <= start <= end < len(shape):
            raise ShapeError(
                f"needs axes start_dim ≤ end_dim from 1 to {len(shape) - 1} for {shape} (0 is the batch), "
                f"got {self.start_dim} and {self.end_dim}"
            )

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x, axes start_dim to end_dim as one."""
        start, end = self._axes(x.shape)
        size = math.prod(x.shape[start : end + 1])
        return x.reshape(*x.shape[:start], size, *x.shape[end + 1 :]), x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy, in the shape of x."""
        return dy.reshape(cache), {}

    def carry(self, moves: Array, **parameters: Any) -> Array:
        """y moves as x does."""
        return self.forward(moves)[0]

    def carry_columns(self, columns: Columns, **parameters: Any) -> Columns | None:
        """A block of the axis start_dim is a block of y, too."""
        start, _ = self._axes(columns.moves.shape[1:])
        if columns.axis != start:
            return None
        flat, _ = self.forward(columns.moves.reshape(-1, *columns.moves.shape[2:]))
        return columns.with_moves(flat.reshape(*columns.moves.shape[:2], *flat.shape[1:]))

    def _axes(self, shape: Shape) -> tuple[int, int]:
        """start_dim and end_dim, counted from the front."""
        rank = len(shape)
        return self.start_dim + rank * (self.start_dim < 0), self.end_dim + rank * (self.end_dim < 0)
