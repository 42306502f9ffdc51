"""Scaled exponential linear unit (Klambauer et al. 2017, Self-Normalizing Neural Networks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import side

_ALPHA = 1.6732632423543772
_LAMBDA = 1.0507009873554805


@dataclass(frozen=True)
class Selu(Layer):
    """Scaled exponential linear unit (Klambauer et al. 2017, Self-Normalizing Neural Networks).

    forward     y  = λ x  where x > 0, else λ α (eˣ − 1)    x, y (...)

    backward    dx = λ dy where x > 0, else λ α eˣ dy       dx   (...)

    verified    torch.selu; a scalar formula

    λ = 1.0507..., α = 1.6733... At x = 0, where there is no derivative, backward says λ α.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = λ x where x > 0, else λ α (eˣ − 1)."""
        positive = x.real > 0
        return _LAMBDA * np.where(positive, x, _ALPHA * np.expm1(np.where(positive, 0, x))), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = λ dy where x > 0, else λ α eˣ dy."""
        x = cache
        positive = x > 0
        return dy * _LAMBDA * np.where(positive, 1, _ALPHA * np.exp(np.where(positive, 0, x))), {}

    def branches(self, x: Array) -> Array:
        """1 where x > 0, 0 where x < 0, -1 where x = 0."""
        return side(x)
