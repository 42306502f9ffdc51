"""Square of every entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.layers._base import Array, Layer


@dataclass(frozen=True)
class Square(Layer):
    """Square of every entry.

    forward     y  = x²                             x, y (...)

    backward    dx = 2 x dy                         dx   (...)

    verified    torch.square; a scalar formula
    """

    elementwise = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x²."""
        return x * x, x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = 2 x dy."""
        x = cache
        return 2 * x * dy, {}
