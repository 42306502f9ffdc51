"""Squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array, like
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class Mse(Pointwise):
    """Squared error.

    forward     l  = w (p − t)²          prediction p, target t, losses l (N, ...)   weights w, default 1

    backward    dp = dl 2 w (p − t)      dp (N, ...)

    domain      real p and t
    """

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w (p − t)²."""
        error = prediction - like(prediction, target)
        w = self.weights(prediction, sample_weight, mask)
        return weighted(error**2, w), (error, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl 2 w (p − t)."""
        error, w = cache
        gradient: Array = 2 * weighted(upstream, w) * error
        return gradient
