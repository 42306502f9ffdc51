"""Sigmoid-weighted linear unit, also called swish (Elfwing et al. 2017; Ramachandran et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.layers._base import Array, Layer
from gradcheck.maths import sigmoid


@dataclass(frozen=True)
class Silu(Layer):
    """Sigmoid-weighted linear unit, also called swish (Elfwing et al. 2017; Ramachandran et al. 2017).

    forward     y  = x σ(x)                         x, y (...)      σ the logistic function

    backward    dx = dy σ(x) (1 + x σ(−x))          dx   (...)

    verified    torch.nn.functional.silu; a scalar formula
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x σ(x)."""
        return x * sigmoid(x), x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy σ(x) (1 + x σ(−x))."""
        x = cache
        return dy * (sigmoid(x) * (1 + x * sigmoid(-x))), {}
