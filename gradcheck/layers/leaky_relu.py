"""Rectified linear unit with a slope for negative inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import side


@dataclass(frozen=True)
class LeakyRelu(Layer):
    """Rectified linear unit with a slope for negative inputs.

    forward     y  = x  where x > 0, else a x       x, y (...)      a = negative_slope

    backward    dx = dy where x > 0, else a dy      dx   (...)

    verified    torch.nn.functional.leaky_relu; a scalar formula

    At x = 0, where there is no derivative unless a = 1, backward says a.
    """

    negative_slope: float = 0.01

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x where x > 0, else a x."""
        return np.where(x.real > 0, x, self.negative_slope * x), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy where x > 0, else a dy."""
        x = cache
        return np.where(x > 0, dy, self.negative_slope * dy), {}

    def branches(self, x: Array) -> Array:
        """1 where x > 0, 0 where x < 0, -1 where x = 0 (0 if a = 1: a straight line)."""
        return side(x, smooth=self.negative_slope == 1)
