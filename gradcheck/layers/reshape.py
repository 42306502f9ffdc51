"""The numbers of each sample in another shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class Reshape(Layer):
    """The numbers of each sample in another shape, in row-major order.

    forward     y  = x, in the shape (N, *shape)     x (N, ...)

    backward    dx = dy, in the shape of x           dx (N, ...)

    verified    torch.reshape; obvious loops

    `shape` is that of one sample, without the batch axis. One of its sizes may be -1: what the others leave.
    """

    shape: tuple[Annotated[int, Meta(ge=-1)], ...]

    def check(self, *x_shapes: Shape) -> None:
        """As many numbers before as after."""
        sample, known = x_shapes[0][1:], math.prod(size for size in self.shape if size != -1)
        count, unknown = math.prod(sample), self.shape.count(-1)
        if unknown > 1 or not known:
            raise ShapeError(f"needs a shape of sizes from 1 on, of which one may be -1, got {list(self.shape)}")
        if count % known if unknown else count != known:
            numbers = f"{count} number{'s' * (count != 1)}"
            raise ShapeError(f"needs a shape for the {numbers} of each sample {sample}, got {list(self.shape)}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x, in the shape (N, *shape)."""
        sizes = [math.prod(x.shape[1:]) // -math.prod(self.shape) if size == -1 else size for size in self.shape]
        return x.reshape(len(x), *sizes), x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy, in the shape of x."""
        return dy.reshape(cache), {}
