"""Squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._base import Loss
from gradcheck.losses._data import Array, Shape, like, require_target_like, require_weights, weighted


@dataclass(frozen=True)
class Mse(Loss):
    """Squared error.

    forward     l  = w (p − t)²          prediction p, target t, losses l (N, ...)   sample_weight w (N,), default 1

    backward    dp = dl 2 w (p − t)      dp (N, ...)
    """

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """The target has the prediction's shape; one weight a sample."""
        require_target_like(prediction_shapes[0], data["target"])
        require_weights(prediction_shapes[0], data.get("sample_weight"))

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[Array, Any]:
        """l = w (p − t)²."""
        error = prediction - like(prediction, target)
        return weighted(error**2, sample_weight), (error, sample_weight)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl 2 w (p − t)."""
        error, sample_weight = cache
        gradient: Array = 2 * weighted(upstream, sample_weight) * error
        return gradient
