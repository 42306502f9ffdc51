"""Absolute error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, like
from gradcheck.losses._weighted import Pointwise, weighted
from gradcheck.maths import side


@dataclass(frozen=True)
class L1(Pointwise):
    """Absolute error.

    forward     l  = w |p − t|           prediction p, target t, losses l (N, ...)   weights w, default 1

    backward    dp = dl w sign(p − t)    dp (N, ...)

    domain      real p and t

    At p = t, where there is no derivative, backward says 0.
    """

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w |p − t|, as w sign(p − t) (p − t)."""
        error = prediction - like(prediction, target)
        slope = np.sign(error.real)
        w = self.weights(prediction, sample_weight, mask)
        return weighted(slope * error, w), (slope, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w sign(p − t)."""
        slope, w = cache
        gradient: Array = weighted(upstream, w) * slope
        return gradient

    def branches(self, prediction: Array, target: Array, **weights: Any) -> Array:
        """1 where p > t, 0 where p < t, -1 where p = t."""
        return side(prediction - like(prediction, target))
