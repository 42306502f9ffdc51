"""Normalised exponentials along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.maths import softmax, softmax_vjp


@dataclass(frozen=True)
class Softmax(Layer):
    """Normalised exponentials along one axis.

    forward     yⱼ  = e^xⱼ / Σₖ e^xₖ                x, y (N, ...)   j, k along `dim`

    backward    dxⱼ = yⱼ (dⱼ − Σₖ dₖ yₖ)            dx   (N, ...)   d = dy − dyₘ,  m the index of the greatest y

    verified    torch.softmax; obvious loops

    The constant dyₘ drops out of dx. Without it dₘ is 0, and nothing cancels where yₘ is close to 1.
    """

    dim: int = -1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, and is not that of the batch."""
        require_inner_axis(self.dim, x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """yⱼ = e^xⱼ / Σₖ e^xₖ."""
        y = softmax(x, self.dim)
        return y, y

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dxⱼ = yⱼ (dⱼ − Σₖ dₖ yₖ), d = dy − dyₘ."""
        y = cache
        return softmax_vjp(y, dy, self.dim), {}
