"""Sum along one or several axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axes import Dims, axes_of, require_inner_axes, spread


@dataclass(frozen=True)
class Sum(Layer):
    """Sum along one or several axes.

    forward     y  = Σ x                            x (N, ...)   y (N, ...)  without the axes `dim`

    backward    dx = dy, the same along `dim`       dx (N, ...)

    verified    torch.sum; obvious loops

    With keepdim those axes stay, with length 1.
    """

    dim: Dims = -1
    keepdim: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """The axes exist, and none is that of the batch."""
        require_inner_axes(self.dim, x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = Σ x."""
        axes = axes_of(self.dim, x.ndim)
        return x.sum(axis=axes, keepdims=self.keepdim), x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy, the same along `dim`."""
        axes = axes_of(self.dim, len(cache))
        return np.broadcast_to(spread(dy, axes, cache), cache).copy(), {}
