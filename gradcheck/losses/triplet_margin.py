"""How much nearer than an embedding that differs the one that is alike must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.losses._data import Array, Shape
from gradcheck.losses._weighted import Weighted, require_embeddings, weighted
from gradcheck.maths import side


@dataclass(frozen=True)
class TripletMargin(Weighted):
    """How much nearer than an embedding that differs the one that is alike must be (Balntas et al. 2016).

    forward     l  = w max(0, z),  z = d(a, b) − d(a, n) + m    anchor a, positive b, negative n (N, D), losses l (N,)
                d(x, y) = ‖x − y + ε‖ₚ                          m = margin, ε = eps, weights w (N,), default 1
                                                                with swap, d(b, n) for d(a, n) where that is less

    backward    da = dl w (g(a, b) − g(a, n))                   where z > 0, else 0
                db = −dl w g(a, b),  dn = dl w g(a, n)          da, db, dn (N, D); with swap dn and db of d(b, n)
                g(x, y) = sign(e) (|e| / d)ᵖ⁻¹,  e = x − y + ε

    domain      real a, b and n

    Without a target. At z = 0, and where e or d is 0 and has no derivative, backward says 0.
    """

    margin: Annotated[float, Meta(gt=0)] = 1.0
    p: Annotated[float, Meta(ge=1)] = 2.0
    eps: Annotated[float, Meta(ge=0)] = 1e-6
    swap: bool = False

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """Three embeddings of one shape; one weight a triplet."""
        require_embeddings(3, prediction_shapes)
        self.require_weights(prediction_shapes[0][:1], data)

    def forward(
        self, anchor: Array, positive: Array, negative: Array,
        sample_weight: Array | None = None, mask: Array | None = None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """l = w max(0, z), z = d(a, b) − d(a, n) + m."""
        near, far, swapped = self._distances(anchor, positive, negative)
        z = near[0] - far[0] + self.margin
        z = np.where(z.real <= 0, 0, z)
        w = self.weights(z, sample_weight, mask)
        return weighted(z, w), (np.sign(z), near[1], far[1], swapped, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array, Array]:
        """da = dl w (g(a, b) − g(a, n)), db = −dl w g(a, b), dn = dl w g(a, n)."""
        active, near, far, swapped, w = cache
        each = (weighted(upstream, w) * active)[:, None]
        from_near, from_far = each * near, each * far
        of_anchor, of_positive = np.where(swapped, 0, from_far), np.where(swapped, from_far, 0)
        return from_near - of_anchor, -from_near - of_positive, from_far

    def branches(self, anchor: Array, positive: Array, negative: Array, **weights: Any) -> Array:
        """The side of z; where z ≥ 0 zero distances, with swap the lesser one, with p = 1 all signs: (N, pieces)."""
        a, b, n = anchor.real, positive.real, negative.real
        near, far, _ = self._distances(a, b, n)
        z = side(near[0] - far[0] + self.margin)[:, None]
        inside = [np.where(d == 0, -1, 0)[:, None] for d in (near[0], far[0])]
        if self.swap:
            inside.append(side(self._distance(a, n)[0] - self._distance(b, n)[0])[:, None])
        if self.p == 1:
            inside += [side(x - y + self.eps) for x, y in ((a, b), (a, n), (b, n))]
        return np.concatenate([z, *[np.where(z == 0, 0, pieces) for pieces in inside]], axis=1)

    def _distances(self, a: Array, b: Array, n: Array) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
        """(d, g) of the near pair and of the far one, and whether that one was swapped: (N, 1)."""
        near, far, other = self._distance(a, b), self._distance(a, n), self._distance(b, n)
        swapped = (other[0].real < far[0].real) & self.swap
        chosen = np.where(swapped, other[0], far[0]), np.where(swapped[:, None], other[1], far[1])
        return near, chosen, swapped[:, None]

    def _distance(self, x: Array, y: Array) -> tuple[Array, Array]:
        """d(x, y) and its gradient g with respect to x; scaled, so that powers neither overflow nor vanish."""
        e = x - y + self.eps
        sign = np.sign(e.real)
        size = sign * e
        scale = np.max(size.real, axis=1, keepdims=True)
        scale = np.where(scale > 0, scale, 1)
        d = scale[:, 0] * ((size / scale) ** self.p).sum(axis=1) ** (1 / self.p)
        length = np.where(d.real > 0, d, 1)[:, None]
        return d, sign * (size / length) ** (self.p - 1)
