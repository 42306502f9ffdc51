"""How far the angle of two embeddings is from what a pair that is alike, or one that is not, should have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, Shape, require_signs
from gradcheck.losses._weighted import Weighted, require_embeddings, weighted
from gradcheck.maths import side

#: ε, PyTorch's: it keeps the cosine of an embedding that is 0 finite.
_EPS = 1e-12


@dataclass(frozen=True)
class CosineEmbedding(Weighted):
    """How far the angle of two embeddings is from what a pair that is alike, or one that is not, should have.

    forward     l  = w d where t = 1, else w max(0, c − m)          embeddings a, b (N, D), target t (N,) = ±1
                c  = u·v,  u = a / √A,  A = a·a + ε                 m = margin, ε = 10⁻¹², losses l (N,)
                           v = b / √B,  B = b·b + ε                 weights w (N,), default 1
                d  = 1 − c = ½ ‖u − v‖² + ½ ε (1/A + 1/B)

    backward    da = dl w s (u − v − d u) / √A                      s = 1 where t = 1, else −1 where c > m, else 0
                db = dl w s (v − u − d v) / √B                      da, db (N, D)

    domain      real a and b, t = −1 or 1

    1 − c itself would lose its digits where a and b are alike. At c = m, where there is no derivative if t = −1,
    backward says 0.
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
        """l = w d where t = 1, else w max(0, c − m)."""
        u, v, roots, c, d = _compared(first, second)
        slope = np.where(target > 0, 1, -1 * (c.real > self.margin)).astype(c.real.dtype)
        losses = np.where(target > 0, d, -slope * (c - self.margin))
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (u, v, roots, d, slope, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """da = dl w s (u − v − d u) / √A, db = dl w s (v − u − d v) / √B."""
        u, v, (root_a, root_b), d, slope, w = cache
        each, d = (x[:, None] for x in (weighted(upstream, w) * slope, d))
        return each * (u - v - d * u) / root_a, each * (v - u - d * v) / root_b

    def branches(self, first: Array, second: Array, target: Array, **weights: Any) -> Array:
        """0 where t = 1; else 1 where c > m, 0 where c < m, -1 where c = m."""
        c = _compared(first, second)[3]
        return np.where(target > 0, 0, side(c - self.margin)).astype(np.int8)


def _compared(a: Array, b: Array) -> tuple[Array, Array, tuple[Array, Array], Array, Array]:
    """u, v, (√A, √B), c, d."""
    root_a, root_b = (np.sqrt((x * x).sum(axis=1, keepdims=True) + _EPS) for x in (a, b))
    u, v = a / root_a, b / root_b
    shrunk = _EPS * (1 / root_a**2 + 1 / root_b**2)[:, 0]
    return u, v, (root_a, root_b), (u * v).sum(axis=1), (((u - v) ** 2).sum(axis=1) + shrunk) / 2
