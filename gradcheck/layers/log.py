"""Natural logarithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import within


@dataclass(frozen=True)
class Log(Layer):
    """Natural logarithm.

    forward     y  = log x                          x, y (...)      −∞ at 0, NaN below

    backward    dx = dy / x                         dx   (...)      0 where x ≤ 0

    verified    torch.log; a scalar formula
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = log x, NaN where x < 0: a complex logarithm there would be a function of its own."""
        return within(x.real > 0, np.log, x, np.where(x.real == 0, -np.inf, np.nan).astype(x.real.dtype)), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy / x."""
        x = cache
        return dy * within(x > 0, np.reciprocal, x, 0), {}
