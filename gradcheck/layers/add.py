"""Sum of several inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._several_inputs import (
    differentiable,
    in_one_precision,
    require_equal_shapes,
    where_differentiable,
)


@dataclass(frozen=True)
class Add(Layer):
    """Sum of two or more inputs of one shape, entry by entry: a residual connection.

    forward      y  = x₁ + x₂ + …    xₖ, y (N, ...)

    backward    dxₖ = dy             dxₖ   (N, ...)   for every k

    verified    torch.add; obvious loops

    An input that is used twice gets the sum of its two gradients.
    """

    def check(self, *x_shapes: Shape) -> None:
        """Equal shapes."""
        require_equal_shapes(x_shapes)

    def forward(self, first: Array, second: Array, *others: Array) -> tuple[Array, Any]:
        """y = x₁ + x₂ + …"""
        x = first, second, *others
        return reduce(np.add, in_one_precision(x)), differentiable(x)

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array | None, ...], dict[str, Array]]:
        """dxₖ = dy."""
        return where_differentiable([dy] * len(cache), cache), {}
