"""Absolute value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import side


@dataclass(frozen=True)
class Abs(Layer):
    """Absolute value.

    forward     y  = |x|                            x, y (...)

    backward    dx = dy sign(x)                     dx   (...)

    verified    torch.abs; a scalar formula

    At x = 0, where there is no derivative, backward says 0.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = |x|."""
        return np.where(x.real < 0, -x, np.where(x.real == 0, 0, x)), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy sign(x)."""
        x = cache
        return dy * np.sign(x), {}

    def branches(self, x: Array) -> Array:
        """1 where x > 0, 0 where x < 0, -1 where x = 0."""
        return side(x)
