"""Straight line between two bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.maths import piece


@dataclass(frozen=True)
class HardTanh(Layer):
    """Straight line between two bounds.

    forward     y  = x  where l < x < u, else the nearer of l and u     x, y (...)      l = min_val, u = max_val

    backward    dx = dy where l < x < u, else 0                         dx   (...)

    verified    torch.nn.functional.hardtanh; a scalar formula

    At x = l and x = u, where there is no derivative, backward says 0, as PyTorch does.
    """

    min_val: float = -1.0
    max_val: float = 1.0

    elementwise = True

    def check(self, *x_shapes: Shape) -> None:
        """Bounds in order."""
        if not self.min_val < self.max_val:
            raise ShapeError(f"needs min_val below max_val, got {self.min_val:g} and {self.max_val:g}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x where l < x < u, else the nearer of l and u; NaN stays NaN."""
        above = np.where(x.real <= self.min_val, self.min_val, x)
        return np.where(x.real >= self.max_val, self.max_val, above), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy where l < x < u, else 0."""
        x = cache
        return np.where((x <= self.min_val) | (x >= self.max_val), 0, dy), {}

    def branches(self, x: Array) -> Array:
        """0 below l, 1 between l and u, 2 above u; -1 where x is one of them."""
        return piece(x, self.min_val, self.max_val)
