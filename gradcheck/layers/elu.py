"""Exponential linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import side


@dataclass(frozen=True)
class Elu(Layer):
    """Exponential linear unit.

    forward     y  = x  where x > 0, else α (eˣ − 1)    x, y (...)      α = alpha

    backward    dx = dy where x > 0, else α eˣ dy       dx   (...)

    verified    torch.nn.functional.elu; a scalar formula

    At x = 0, where there is no derivative unless α = 1, backward says α.
    """

    alpha: float = 1.0

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x where x > 0, else α (eˣ − 1)."""
        positive = x.real > 0
        return np.where(positive, x, self.alpha * np.expm1(np.where(positive, 0, x))), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy where x > 0, else α eˣ dy."""
        x = cache
        positive = x > 0
        return dy * np.where(positive, 1, self.alpha * np.exp(np.where(positive, 0, x))), {}

    def branches(self, x: Array) -> Array:
        """1 where x > 0, 0 where x < 0, -1 where x = 0 (0 if α = 1: the slopes are equal there)."""
        return side(x, smooth=self.alpha == 1)
