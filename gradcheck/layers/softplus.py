"""Smooth version of the rectified linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import sigmoid, softplus


@dataclass(frozen=True)
class Softplus(Layer):
    """Smooth version of the rectified linear unit.

    forward     y  = log(1 + e^βx) / β              x, y (...)      β = beta

    backward    dx = dy σ(βx)                       dx   (...)      σ the logistic function

    verified    torch.nn.functional.softplus; a scalar formula

    The formula holds for every x. PyTorch's option `threshold`, above which y = x is said instead, is left out: it
    bounds an overflow that does not happen here, and is a jump of 2e-9 / β.
    """

    beta: Annotated[float, Meta(gt=0)] = 1.0

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = log(1 + e^βx) / β."""
        return softplus(self.beta * x) / self.beta, x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy σ(βx)."""
        x = cache
        return dy * sigmoid(self.beta * x), {}
