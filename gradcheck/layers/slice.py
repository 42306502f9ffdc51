"""Every few places of one axis."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis


@dataclass(frozen=True)
class Slice(Layer):
    """The places start, start + step, ... before end of one axis.

    forward     y  = x[start : end : step]          x (N, ..., S, ...)   y (N, ..., M, ...)

    backward    dx = dy there, else 0               dx (N, ..., S, ...)

    verified    torch.ops.aten.slice; obvious loops

    The axis is `dim`. Numbers below 0 count from the end, as in Python; end: null is behind the last place.
    """

    dim: int = 1
    start: int = 0
    end: int | None = None
    step: Annotated[int, Meta(ge=1)] = 1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, is not that of the batch, and the slice is not empty."""
        require_inner_axis(self.dim, x_shapes[0])
        size = x_shapes[0][self.dim]
        if not range(size)[self._places]:
            raise ShapeError(
                f"needs a place between start={self.start} and end={self.end} on axis {self.dim}, which has {size}"
            )

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x[start : end : step]."""
        return x[self._index(x.ndim)].copy(), x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy there, else 0."""
        dx = np.zeros(cache, dy.dtype)
        dx[self._index(len(cache))] = dy
        return dx, {}

    @property
    def _places(self) -> builtins.slice:
        return builtins.slice(self.start, self.end, self.step)

    def _index(self, rank: int) -> tuple[builtins.slice, ...]:
        whole = builtins.slice(None)
        return tuple(self._places if axis == self.dim % rank else whole for axis in range(rank))
