"""Pairs that are alike are drawn together, pairs that differ are pushed apart up to a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.complex_safe import norm
from gradcheck.losses._data import Array, Shape, like, require_all
from gradcheck.losses._weighted import Weighted, require_embeddings, weighted


@dataclass(frozen=True)
class Contrastive(Weighted):
    """Pairs that are alike are drawn together, pairs that differ are pushed apart up to a margin.

    forward     l  = w ½ d² where t = 0, else w ½ max(0, m − d)²    embeddings a, b (N, D), d = ‖a − b‖, target t (N,)
                                                                    0 for a pair that is alike, 1 for one that differs
                                                                    m = margin, losses l (N,), weights w (N,), default 1

    backward    da = dl w (a − b) where t = 0                       da, db (N, D)
                da = −dl w (m − d) (a − b) / d where t = 1, d < m, else 0
                db = −da

    domain      real a and b, t = 0 or 1

    Hadsell, Chopra and LeCun 2006, whose t this is. At d = 0, where there is no derivative if t = 1, backward says 0.
    """

    margin: Annotated[float, Meta(gt=0)] = 1.0

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """Two embeddings of one shape; 0 or 1 for each pair; one weight a pair."""
        target = data["target"]
        require_embeddings(2, prediction_shapes, target)
        require_all((target == 0) | (target == 1), "a target of 0 (alike) or 1 (different)", target)
        self.require_weights(prediction_shapes[0][:1], data)

    def forward(
        self, first: Array, second: Array, target: Array,
        sample_weight: Array | None = None, mask: Array | None = None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """l = w ½ d² where t = 0, else w ½ max(0, m − d)²."""
        e = first - second
        d = norm(e, axis=1)
        short = np.where(d.real >= self.margin, 0, self.margin - d)
        alike = target < 0.5
        losses = np.where(alike, (e * e).sum(axis=1), short * short) / 2
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (e, d, short, alike, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """da = dl w (a − b) where t = 0, −dl w (m − d) (a − b) / d where t = 1 and d < m; db = −da."""
        e, d, short, alike, w = cache
        slope = np.where(alike, like(d, np.ones(d.shape)), -short / np.where(d > 0, d, 1))
        da = (weighted(upstream, w) * slope)[:, None] * e
        return da, -da

    def branches(self, first: Array, second: Array, target: Array, **weights: Any) -> Array:
        """0 where t = 0; else 1 where d < m, 2 where d ≥ m, -1 where d = 0."""
        d = norm((first - second).real, axis=1)
        return np.where(target < 0.5, 0, np.where(d == 0, -1, np.where(d < self.margin, 1, 2)))
