"""Ratio of a number and one more than its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck import complex_safe as cs
from gradcheck.layers._base import Array, Layer


@dataclass(frozen=True)
class Softsign(Layer):
    """Ratio of a number and one more than its size.

    forward     y  = x / (1 + |x|)                  x, y (...)

    backward    dx = dy / (1 + |x|)²                dx   (...)

    verified    torch.nn.functional.softsign; a scalar formula

    The slopes on both sides of 0 are equal: there is no kink.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x / (1 + |x|)."""
        return x / (1 + cs.abs(x)), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy / (1 + |x|)²."""
        x = cache
        return dy / (1 + np.abs(x)) ** 2, {}
