"""Self-regularised non-monotonic activation (Misra 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import sigmoid, softplus, tanh_slope


@dataclass(frozen=True)
class Mish(Layer):
    """Self-regularised non-monotonic activation (Misra 2019, Mish).

    forward     y  = x tanh s                       x, y (...)      s = log(1 + eˣ)

    backward    dx = dy (tanh s + x tanh′(s) σ(x))  dx   (...)      σ the logistic function, the slope of s

    verified    torch.nn.functional.mish; a scalar formula

    tanh s is n / (n + 2) with n = eˣ (eˣ + 2), which a complex step passes without the loss of digits that the
    logarithm of 1 and a little more has.
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x tanh s."""
        return x * _tanh_softplus(x), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy (tanh s + x tanh′(s) σ(x))."""
        x = cache
        s = softplus(x)
        return dy * (_tanh_softplus(x) + x * tanh_slope(s) * sigmoid(x)), {}


def _tanh_softplus(x: Array) -> Array:
    """tanh s; for a positive x both n and n + 2 are divided by e²ˣ."""
    positive = x.real > 0
    e = np.exp(np.where(positive, -x, x))
    n = np.where(positive, 1 + 2 * e, e * (e + 2))
    share: Array = n / (n + 2 * np.where(positive, e * e, 1))
    return share
