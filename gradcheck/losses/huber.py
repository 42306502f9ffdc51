"""Squared error that grows only linearly far from the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.losses._data import Array, like
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class Huber(Pointwise):
    """Squared error that grows only linearly far from the target (Huber 1964).

    forward     l  = w e² / 2 where |e| ≤ δ, else w δ (|e| − δ/2)    e = p − t, prediction p, target t
                                                                     δ = delta, losses l (N, ...), weights w, default 1

    backward    dp = dl w e where |e| ≤ δ, else dl w δ sign(e)       dp (N, ...)

    domain      real p and t

    At |e| = δ both slopes are equal.
    """

    delta: Annotated[float, Meta(gt=0)] = 1.0

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w e² / 2 where |e| ≤ δ, else w δ (|e| − δ/2)."""
        e = prediction - like(prediction, target)
        sign, inner = np.sign(e.real), np.abs(e.real) <= self.delta
        losses = np.where(inner, e * e / 2, self.delta * (sign * e - self.delta / 2))
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (e, sign, inner, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w e where |e| ≤ δ, else dl w δ sign(e)."""
        e, sign, inner, w = cache
        gradient: Array = weighted(upstream, w) * np.where(inner, e, self.delta * sign)
        return gradient

    def branches(self, prediction: Array, target: Array, **weights: Any) -> Array:
        """1 on the parabola, 0 and 2 left and right of it."""
        e = (prediction - like(prediction, target)).real
        return np.where(np.abs(e) <= self.delta, 1, np.where(e > 0, 2, 0)).astype(np.int8)
