"""Product of several inputs."""

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
class Multiply(Layer):
    """Product of two or more inputs of one shape, entry by entry: a gate, or a mask.

    forward      y  = x₁ x₂ …          xₖ, y (N, ...)

    backward    dxₖ = dy Π_{j≠k} xⱼ    dxₖ   (N, ...)   without a division, so that an xₖ of 0 has its gradient, too

    verified    torch.mul; obvious loops
    """

    def check(self, *x_shapes: Shape) -> None:
        """Equal shapes."""
        require_equal_shapes(x_shapes)

    def forward(self, first: Array, second: Array, *others: Array) -> tuple[Array, Any]:
        """y = x₁ x₂ …"""
        x = first, second, *others
        factors = in_one_precision(x)
        return reduce(np.multiply, factors), (factors, differentiable(x))

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array | None, ...], dict[str, Array]]:
        """dxₖ = dy Π_{j≠k} xⱼ."""
        x, real = cache
        dx = [dy * reduce(np.multiply, [*x[:k], *x[k + 1 :]]) for k in range(len(x))]
        return where_differentiable(dx, real), {}
