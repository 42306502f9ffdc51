"""Logarithm of the normalised exponentials along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.maths import log_softmax


@dataclass(frozen=True)
class LogSoftmax(Layer):
    """Logarithm of the normalised exponentials along one axis.

    forward     yⱼ  = xⱼ − log Σₖ e^xₖ              x, y (N, ...)   j, k along `dim`

    backward    dxⱼ = dyⱼ − e^yⱼ Σₖ dyₖ             dx   (N, ...)

    verified    torch.log_softmax; obvious loops
    """

    dim: int = -1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, and is not that of the batch."""
        require_inner_axis(self.dim, x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """yⱼ = xⱼ − log Σₖ e^xₖ."""
        y = log_softmax(x, self.dim)
        return y, y

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dxⱼ = dyⱼ − e^yⱼ Σₖ dyₖ."""
        y = cache
        return dy - np.exp(y) * dy.sum(axis=self.dim, keepdims=True), {}
