"""Limits of every entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.maths import piece


@dataclass(frozen=True)
class Clamp(Layer):
    """Limits of every entry, below, above or both.

    forward     y  = x  where l ≤ x ≤ u, else the nearer of l and u     x, y (...)      l = min, u = max

    backward    dx = dy where l ≤ x ≤ u, else 0                         dx   (...)

    verified    torch.clamp; a scalar formula

    At x = l and x = u, where there is no derivative, backward says dy, as PyTorch does.
    """

    min: float | None = None
    max: float | None = None

    elementwise = True

    def check(self, *x_shapes: Shape) -> None:
        """At least one limit, and two in order."""
        if not self._limits:
            raise ShapeError("needs a limit: min, max or both")
        if self._limits != tuple(sorted(set(self._limits))):
            raise ShapeError(f"needs min below max, got {self.min:g} and {self.max:g}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x where l ≤ x ≤ u, else the nearer of l and u; NaN stays NaN."""
        y = x if self.min is None else np.where(x.real < self.min, self.min, x)
        return y if self.max is None else np.where(x.real > self.max, self.max, y), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy where l ≤ x ≤ u, else 0."""
        x = cache
        dx = dy if self.min is None else np.where(x < self.min, 0, dy)
        return dx if self.max is None else np.where(x > self.max, 0, dx), {}

    def branches(self, x: Array) -> Array:
        """How many of the limits are below x; -1 where x is one of them."""
        return piece(x, *self._limits)

    @property
    def _limits(self) -> tuple[float, ...]:
        return tuple(limit for limit in (self.min, self.max) if limit is not None)
