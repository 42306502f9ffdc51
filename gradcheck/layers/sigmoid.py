"""Logistic function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import sigmoid


@dataclass(frozen=True)
class Sigmoid(Layer):
    """Logistic function.

    forward     y  = σ(x) = 1 / (1 + e⁻ˣ)           x, y (...)

    backward    dx = dy σ(x) σ(−x)                  dx   (...)

    verified    torch.sigmoid; a scalar formula

    σ(x) σ(−x) is y (1 − y), without the cancellation where y is close to 1.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = σ(x)."""
        return sigmoid(x), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy σ(x) σ(−x)."""
        x = cache
        return dy * sigmoid(x) * sigmoid(-x), {}
