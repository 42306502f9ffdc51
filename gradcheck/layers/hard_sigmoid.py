"""Logistic function made of straight lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import piece


@dataclass(frozen=True)
class HardSigmoid(Layer):
    """Logistic function made of straight lines.

    forward     y  = 0 where x ≤ −3, 1 where x ≥ 3, else x/6 + 1/2      x, y (...)

    backward    dx = dy / 6 where −3 < x < 3, else 0                    dx   (...)

    verified    a composition with torch.nn.functional.relu6; a scalar formula

    At x = ±3, where there is no derivative, backward says 0, as PyTorch does.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = 0 where x ≤ −3, 1 where x ≥ 3, else x/6 + 1/2; NaN stays NaN."""
        return np.where(x.real >= 3, 1, np.where(x.real <= -3, 0, (x + 3) / 6)), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy / 6 where −3 < x < 3, else 0."""
        x = cache
        return np.where((x <= -3) | (x >= 3), 0, dy / 6), {}

    def branches(self, x: Array) -> Array:
        """0 below −3, 1 between, 2 above 3; -1 where x is one of them."""
        return piece(x, -3, 3)
