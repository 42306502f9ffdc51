"""Sigmoid-weighted linear unit made of parabola and lines (Howard et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import piece


@dataclass(frozen=True)
class HardSwish(Layer):
    """Sigmoid-weighted linear unit made of a parabola and two lines (Howard et al. 2019, Searching for MobileNetV3).

    forward     y  = 0 where x ≤ −3, x where x ≥ 3, else x (x + 3) / 6      x, y (...)

    backward    dx = 0 where x ≤ −3, dy where x ≥ 3, else dy (x/3 + 1/2)    dx   (...)

    verified    torch.nn.functional.hardswish; a scalar formula

    At x = ±3, where there is no derivative, backward says what the outer lines say.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = 0 where x ≤ −3, x where x ≥ 3, else x (x + 3) / 6; NaN stays NaN."""
        inner = np.where(np.abs(x.real) < 3, x, 0)  # the square of what is not used must not overflow
        return np.where(x.real <= -3, 0, np.where(x.real < 3, inner * (inner + 3) / 6, x)), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = 0 where x ≤ −3, dy where x ≥ 3, else dy (x/3 + 1/2)."""
        x = cache
        return np.where(x <= -3, 0, np.where(x < 3, dy * (x / 3 + 0.5), dy)), {}

    def branches(self, x: Array) -> Array:
        """0 below −3, 1 between, 2 above 3; -1 where x is one of them."""
        return piece(x, -3, 3)
