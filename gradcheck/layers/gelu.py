"""Gaussian error linear unit (Hendrycks & Gimpel 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import sigmoid

_ROOT_8_OVER_PI = math.sqrt(8 / math.pi)
_CUBIC = 0.044715


@dataclass(frozen=True)
class Gelu(Layer):
    """Gaussian error linear unit (Hendrycks & Gimpel 2016, Gaussian Error Linear Units).

    forward     y  = x Φ(x)                         x, y (...)      Φ(x) = erfc(−x/√2) / 2
                y  = x σ(u)                         with approximate: tanh;  u = √(8/π) (x + 0.044715 x³)

    backward    dx = dy (Φ(x) + x φ(x))             dx   (...)      φ(x) = e^(−x²/2) / √(2π)
                dx = dy σ(u) (1 + x u′ σ(−u))       with approximate: tanh;  u′ = √(8/π) (1 + 0.134145 x²)

    verified    torch.nn.functional.gelu; a scalar formula

    σ(u) is (1 + tanh(u/2)) / 2, without the cancellation where x is negative. erfc is that of scipy.special, which is
    exact for a complex argument; it is loaded when this layer is used and not before.
    """

    approximate: Literal["none", "tanh"] = "none"

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x Φ(x), or x σ(u)."""
        return x * self._share(x), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy (Φ(x) + x φ(x)), or dy σ(u) (1 + x u′ σ(−u))."""
        x = cache
        if self.approximate == "tanh":
            slope = _ROOT_8_OVER_PI * (1 + 3 * _CUBIC * x**2)
            return dy * (self._share(x) * (1 + x * slope * sigmoid(-_odd_cubic(x)))), {}
        density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        return dy * (self._share(x) + x * density), {}

    def _share(self, x: Array) -> Array:
        """Φ(x), or σ(u)."""
        if self.approximate == "tanh":
            return sigmoid(_odd_cubic(x))
        from scipy.special import erfc

        share: Array = erfc(x * -math.sqrt(0.5)) / 2
        return share


def _odd_cubic(x: Array) -> Array:
    """u = √(8/π) (x + 0.044715 x³)."""
    u: Array = _ROOT_8_OVER_PI * (x + _CUBIC * x**3)
    return u
