"""Power of every entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck import complex_safe as cs
from gradcheck.layers._base import Array, Layer
from gradcheck.maths import real_part, within


@dataclass(frozen=True)
class Power(Layer):
    """Power of every entry.

    forward     y  = xᵖ                             x, y (...)      p = exponent;  NaN where x < 0 unless p is whole

    backward    dx = dy p xᵖ⁻¹                      dx   (...)

    verified    torch.pow; a scalar formula

    At x = 0 with p < 1, where the slope is infinite, backward says 0: an Inf would spoil every gradient before it.
    """

    exponent: float

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = xᵖ."""
        p = self.exponent
        at_zero = x if p == 1 else np.asarray(0 if p > 0 else 1 if p == 0 else np.inf, x.real.dtype)
        return np.where(real_part(x) == 0, at_zero, _power(x, p)), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy p xᵖ⁻¹."""
        x, p = cache, self.exponent
        return dy * np.where(x == 0, 1 if p == 1 else 0, p * _power(x, p - 1)), {}

    def branches(self, x: Array) -> Array:
        """-1 where x = 0 and p is positive and not whole: the domain ends there."""
        p = self.exponent
        return np.where((x.real == 0) & (p > 0) & (p % 1 != 0), -1, 0)


def _power(x: Array, p: float) -> Array:
    """xᵖ where x ≠ 0. Of a negative x by |x|ᵖ: the rounding of a complex power would drown a tiny imaginary part."""
    y = within(x.real != 0, lambda size: size**p, cs.abs(x), np.nan)
    sign = np.nan if p % 1 else 1 - 2 * (p % 2)
    return np.where(x.real < 0, sign * y, y)
