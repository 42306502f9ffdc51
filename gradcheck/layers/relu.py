"""Rectified linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import side


@dataclass(frozen=True)
class Relu(Layer):
    """Rectified linear unit.

    forward     y  = x  where x > 0, else 0         x, y (...)

    backward    dx = dy where x > 0, else 0         dx   (...)

    verified    torch.relu; a scalar formula

    At x = 0, where there is no derivative, backward says 0.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x where x > 0, else 0; NaN stays NaN."""
        return np.where(x.real <= 0, 0, x), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy where x > 0, else 0."""
        x = cache
        return np.where(x <= 0, 0, dy), {}

    def branches(self, x: Array) -> Array:
        """1 where x > 0, 0 where x < 0, -1 where x = 0."""
        return side(x)
