"""Absolute error, rounded off to a parabola near zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.losses._data import Array, like
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class SmoothL1(Pointwise):
    """Absolute error, rounded off to a parabola near zero (Girshick 2015, Fast R-CNN).

    forward     l  = w e² / 2β where |e| < β, else w (|e| − β/2)    e = p − t, prediction p, target t
                                                                    β = beta, losses l (N, ...), weights w, default 1

    backward    dp = dl w e / β where |e| < β, else dl w sign(e)    dp (N, ...)

    domain      real p and t

    At |e| = β both slopes are equal. With β = 0 it is l1, and at e = 0, where there is no derivative, backward says 0.
    """

    beta: Annotated[float, Meta(ge=0)] = 1.0

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w e² / 2β where |e| < β, else w (|e| − β/2)."""
        e = prediction - like(prediction, target)
        sign, inner = np.sign(e.real), np.abs(e.real) < self.beta
        losses = np.where(inner, e * e / (2 * self.beta or 1), sign * e - self.beta / 2)
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (e, sign, inner, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w e / β where |e| < β, else dl w sign(e)."""
        e, sign, inner, w = cache
        gradient: Array = weighted(upstream, w) * np.where(inner, e / (self.beta or 1), sign)
        return gradient

    def branches(self, prediction: Array, target: Array, **weights: Any) -> Array:
        """1 on the parabola, 0 and 2 left and right of it; -1 where e = 0 = β."""
        e = (prediction - like(prediction, target)).real
        beside = np.where(e == 0, -1, np.where(e > 0, 2, 0))
        return np.where(np.abs(e) < self.beta, 1, beside).astype(np.int8)
