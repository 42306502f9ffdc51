"""Two axes change places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis


@dataclass(frozen=True)
class Transpose(Layer):
    """Two axes of each sample change places; the batch axis stays where it is.

    forward     y  = xᵀ      x (N, ..., A, ..., B, ...)   y (N, ..., B, ..., A, ...)

    backward    dx = dyᵀ     dx (N, ..., A, ..., B, ...)

    verified    torch.transpose; obvious loops

    A is the axis dim0 and B the axis dim1; a negative one counts from the end.
    """

    dim0: int
    dim1: int

    def check(self, *x_shapes: Shape) -> None:
        """Both axes exist, and neither is that of the batch."""
        require_inner_axis(self.dim0, x_shapes[0])
        require_inner_axis(self.dim1, x_shapes[0])

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = xᵀ."""
        return x.swapaxes(self.dim0, self.dim1), None

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dyᵀ."""
        return dy.swapaxes(self.dim0, self.dim1), {}
