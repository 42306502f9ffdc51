"""Gated linear unit (Dauphin et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.maths import sigmoid


@dataclass(frozen=True)
class Glu(Layer):
    """Gated linear unit: one half of an axis, each entry opened or shut by one of the other half (Dauphin et al. 2017).

    forward     y  = a σ(b)                             x = [a b] (N, ..., 2M, ...)     a, b, y (N, ..., M, ...)

    backward    dx = [dy σ(b)   dy a σ(b) σ(−b)]        dx        (N, ..., 2M, ...)

    verified    torch.nn.functional.glu; obvious loops

    a is the first half of the axis `dim`, b the second; σ is the logistic function.
    """

    dim: int = -1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, is not that of the batch, and has two halves."""
        require_inner_axis(self.dim, x_shapes[0])
        if x_shapes[0][self.dim] % 2:
            raise ShapeError(f"needs an even number of places on axis {self.dim}, got {x_shapes[0][self.dim]}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = a σ(b)."""
        a, b = np.split(x, 2, axis=self.dim)
        return a * sigmoid(b), (a, b)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = [dy σ(b)   dy a σ(b) σ(−b)]."""
        a, b = cache
        opened = dy * sigmoid(b)
        return np.concatenate([opened, opened * a * sigmoid(-b)], axis=self.dim), {}
