"""Normalised exponentials along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.maths import softmax


@dataclass(frozen=True)
class Softmax(Layer):
    """Normalised exponentials along one axis.

    forward     yⱼ  = e^xⱼ / Σₖ e^xₖ                x, y (N, ...)   j, k along `axis`

    backward    dxⱼ = yⱼ (dyⱼ − Σₖ dyₖ yₖ)          dx   (N, ...)
    """

    axis: int = -1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, and is not that of the batch."""
        require_inner_axis(self.axis, x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """yⱼ = e^xⱼ / Σₖ e^xₖ."""
        y = softmax(x, self.axis)
        return y, y

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dxⱼ = yⱼ (dyⱼ − Σₖ dyₖ yₖ)."""
        y = cache
        return y * (dy - (dy * y).sum(axis=self.axis, keepdims=True)), {}
