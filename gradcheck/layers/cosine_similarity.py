"""Cosine of the angle between the vectors of two inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck import complex_safe as cs
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis
from gradcheck.layers._several_inputs import require_equal_shapes, two


@dataclass(frozen=True)
class CosineSimilarity(Layer):
    """Cosine of the angle between the vectors of two inputs along one axis.

    forward     y  = Σ u v                              a, b (N, ...)   y (N, ...)  without the axis `dim`
                u  = a / A,  v = b / B                  u, v (N, ...)   A = max(‖a‖, ε), B = max(‖b‖, ε)

    backward    da = dy (v − y u) / A                   da   (N, ...)   without − y u where A is ε
                db = dy (u − y v) / B                   db   (N, ...)   without − y v where B is ε

    verified    torch.nn.functional.cosine_similarity; obvious loops

    ε = eps keeps a vector of zeros finite. Where a length is ε there is no derivative.
    """

    dim: int = 1
    eps: Annotated[float, Meta(gt=0)] = 1e-8

    def check(self, *x_shapes: Shape) -> None:
        """Two inputs of one shape, and an axis that exists and is not that of the batch."""
        a, b = two(x_shapes)
        require_equal_shapes((a, b))
        require_inner_axis(self.dim, a)

    def forward(self, a: Array, b: Array) -> tuple[Array, Any]:
        """y = Σ u v."""
        (A, long_a), (B, long_b) = self._length(a), self._length(b)
        u, v = a / A, b / B
        y = (u * v).sum(axis=self.dim, keepdims=True)
        return y.squeeze(self.dim), (u, v, y, A, B, long_a, long_b)

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array, Array], dict[str, Array]]:
        """da = dy (v − y u) / A, db = dy (u − y v) / B."""
        u, v, y, A, B, long_a, long_b = cache
        upstream = np.expand_dims(dy, self.dim)
        da = upstream * (v - np.where(long_a, y * u, 0)) / A
        db = upstream * (u - np.where(long_b, y * v, 0)) / B
        return (da, db), {}

    def branches(self, a: Array, b: Array) -> Array:
        """0 to 3: which of the two vectors is longer than ε; -1 where a length is ε."""
        lengths = [cs.norm(x.real, axis=self.dim) for x in (a, b)]
        longer = (lengths[0] > self.eps) + 2 * (lengths[1] > self.eps)
        return np.where((lengths[0] == self.eps) | (lengths[1] == self.eps), -1, longer)

    def _length(self, x: Array) -> tuple[Array, Array]:
        """max(‖x‖, ε), and whether that is ‖x‖."""
        length = cs.norm(x, axis=self.dim, keepdims=True)
        longer = length.real > self.eps
        return np.where(longer, length, self.eps), longer
