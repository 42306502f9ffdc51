"""Length of the vectors along one or several axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck import complex_safe as cs
from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axes import Dims, axes_of, require_inner_axes, spread
from gradcheck.maths import within


@dataclass(frozen=True)
class Norm(Layer):
    """Length of the vectors along one or several axes: their p-norm.

    forward     y  = (Σ |x|ᵖ)^(1/p)                 x (N, ...)   y (N, ...)  without the axes `dim`

    backward    dx = dy sign(x) (|x| / y)ᵖ⁻¹        dx (N, ...)  0 where y = 0

    verified    torch.linalg.vector_norm; obvious loops

    With keepdim those axes stay, with length 1. All is divided by the greatest |x| before powers are taken, so that
    they neither overflow nor vanish. There is no derivative at a vector of zeros and, with p = 1, at any entry that is
    zero; backward says 0 at it.
    """

    p: Annotated[float, Meta(ge=1)] = 2.0
    dim: Dims = -1
    keepdim: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """The axes exist, none is that of the batch, and p is finite."""
        if not math.isfinite(self.p):
            raise ShapeError("needs a finite p; the greatest absolute value is that of `max` behind `abs`")
        require_inner_axes(self.dim, x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = (Σ |x|ᵖ)^(1/p)."""
        axes, p = axes_of(self.dim, x.ndim), self.p
        greatest = np.abs(x.real).max(axis=axes, keepdims=True)
        scale = np.where((greatest > 0) & np.isfinite(greatest), greatest, 1)
        size = np.where(x.real == 0, 0, cs.abs(x / scale))
        total = (size**p).sum(axis=axes, keepdims=True)
        y = scale * within(total.real != 0, lambda t: t ** (1 / p), total, 0)
        return y if self.keepdim else y.squeeze(axes), (x, y)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy sign(x) (|x| / y)ᵖ⁻¹."""
        x, y = cache
        share = np.abs(x) / np.where(y == 0, 1, y)
        upstream = spread(dy, axes_of(self.dim, x.ndim), x.shape)
        return upstream * np.sign(x) * share ** (self.p - 1), {}

    def branches(self, x: Array) -> Array:
        """-1 at a vector of zeros, else 0; with p = 1 the side of 0 that each entry is on, -1 at 0."""
        if self.p == 1:
            return np.where(x.real == 0, -1, x.real > 0).astype(int)
        return np.where((x.real == 0).all(axis=axes_of(self.dim, x.ndim)), -1, 0)
