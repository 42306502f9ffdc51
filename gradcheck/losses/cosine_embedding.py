"""How far the angle of two embeddings is from what a pair that is alike, or one that is not, should have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, Shape, like, require_signs
from gradcheck.losses._weighted import Weighted, require_embeddings, weighted
from gradcheck.maths import side

#: ε, PyTorch's: it keeps the cosine of an embedding that is 0 finite.
_EPS = 1e-12


@dataclass(frozen=True)
class CosineEmbedding(Weighted):
    """How far the angle of two embeddings is from what a pair that is alike, or one that is not, should have.

    forward     l  = w (1 − c) where t = 1, else w max(0, c − m)    embeddings a, b (N, D), target t (N,) = ±1
                c  = a·b / √(A B),  A = a·a + ε,  B = b·b + ε       m = margin, ε = 10⁻¹², losses l (N,)
                                                                    weights w (N,), default 1

    backward    da = dl w s (b / √(A B) − c a / A)                  s = −1 where t = 1, else 1 where c > m, else 0
                db = dl w s (a / √(A B) − c b / B)                  da, db (N, D)

    domain      real a and b, t = −1 or 1

    At c = m, where there is no derivative if t = −1, backward says 0.
    """

    margin: float = 0.0

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """Two embeddings of one shape; a sign for each pair; one weight a pair."""
        require_embeddings(2, prediction_shapes, data.get("target"))
        require_signs(data["target"])
        self.require_weights(prediction_shapes[0][:1], data)

    def forward(
        self, first: Array, second: Array, target: Array,
        sample_weight: Array | None = None, mask: Array | None = None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """l = w (1 − c) where t = 1, else w max(0, c − m)."""
        A, B, c = _cosine(first, second)
        slope = np.where(target > 0, -1, c.real > self.margin).astype(c.real.dtype)
        offset = like(first, np.where(target > 0, 1.0, self.margin))
        losses = slope * (c - offset)
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (first, second, A, B, c, slope, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """da = dl w s (b / √(A B) − c a / A), db = dl w s (a / √(A B) − c b / B)."""
        a, b, A, B, c, slope, w = cache
        each, c, A, B = (x[:, None] for x in (weighted(upstream, w) * slope, c, A, B))
        root = np.sqrt(A) * np.sqrt(B)
        return each * (b / root - c * a / A), each * (a / root - c * b / B)

    def branches(self, first: Array, second: Array, target: Array, **weights: Any) -> Array:
        """0 where t = 1; else 1 where c > m, 0 where c < m, -1 where c = m."""
        c = _cosine(first, second)[2]
        return np.where(target > 0, 0, side(c - self.margin)).astype(np.int8)


def _cosine(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """A, B, c."""
    A, B = (a * a).sum(axis=1) + _EPS, (b * b).sum(axis=1) + _EPS
    return A, B, (a * b).sum(axis=1) / (np.sqrt(A) * np.sqrt(B))
