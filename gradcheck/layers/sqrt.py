"""Square root of every entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import real_part, side, within


@dataclass(frozen=True)
class Sqrt(Layer):
    """Square root of every entry.

    forward     y  = √x                             x, y (...)      NaN where x < 0

    backward    dx = dy / (2 √x)                    dx   (...)

    verified    torch.sqrt; a scalar formula

    At x = 0, where the slope is infinite, backward says 0: an Inf would spoil every gradient before it.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = √x, NaN where x < 0: a complex root there would be a function of its own."""
        real = real_part(x)
        y = within(real > 0, np.sqrt, x, np.where(real == 0, real, np.nan))
        return y, y

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy / (2 √x)."""
        y = cache
        return dy * within(y > 0, np.reciprocal, 2 * y, 0), {}

    def branches(self, x: Array) -> Array:
        """1 where x > 0, -1 where x = 0."""
        return side(x)
