"""Exponential function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer


@dataclass(frozen=True)
class Exp(Layer):
    """Exponential function.

    forward     y  = eˣ                             x, y (...)      overflows above 709, and in float32 above 88

    backward    dx = dy y                           dx   (...)

    verified    torch.exp; a scalar formula
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = eˣ."""
        y = np.exp(x)
        return y, y

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy y."""
        y = cache
        return dy * y, {}
