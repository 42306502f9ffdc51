"""Several inputs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.layers._several_inputs import differentiable, in_one_precision, where_differentiable


@dataclass(frozen=True)
class Concat(Layer):
    """Two or more inputs side by side along one axis; by default the first behind the batch axis.

    forward      y  = [x₁ x₂ …]                xₖ (N, ..., Sₖ, ...)   y (N, ..., S, ...)   S = S₁ + S₂ + …

    backward    dxₖ = dy, the part of xₖ       dxₖ (N, ..., Sₖ, ...)

    verified    torch.cat; obvious loops

    The axis is `dim`; a negative one counts from the end. The other axes are equal in all inputs.
    """

    dim: int = 1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, is not that of the batch, and is the only one in which the inputs differ."""
        for shape in x_shapes:
            require_inner_axis(self.dim, shape)
        axis = self.dim % len(x_shapes[0])
        if len({(len(shape), shape[:axis], shape[axis + 1 :]) for shape in x_shapes}) > 1:
            shapes = " and ".join(map(str, x_shapes))
            raise ShapeError(f"needs inputs that are equal in every axis but {axis}, got {shapes}")

    def forward(self, first: Array, second: Array, *others: Array) -> tuple[Array, Any]:
        """y = [x₁ x₂ …]."""
        x = first, second, *others
        ends = np.cumsum([each.shape[self.dim] for each in x])
        return np.concatenate(in_one_precision(x), axis=self.dim), (ends, differentiable(x))

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array | None, ...], dict[str, Array]]:
        """dxₖ = dy, the part of xₖ."""
        ends, real = cache
        return where_differentiable(np.split(dy, ends[:-1], axis=self.dim), real), {}
