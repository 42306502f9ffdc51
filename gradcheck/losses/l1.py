"""Absolute error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._base import Loss
from gradcheck.losses._data import Array, Shape, like, require_target_like, require_weights, weighted
from gradcheck.maths import side


@dataclass(frozen=True)
class L1(Loss):
    """Absolute error.

    forward     l  = w |p − t|           prediction p, target t, losses l (N, ...)   sample_weight w (N,), default 1

    backward    dp = dl w sign(p − t)    dp (N, ...)

    At p = t, where there is no derivative, backward says 0.
    """

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """The target has the prediction's shape; one weight a sample."""
        require_target_like(prediction_shapes[0], data["target"])
        require_weights(prediction_shapes[0], data.get("sample_weight"))

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[Array, Any]:
        """l = w |p − t|, as w sign(p − t) (p − t)."""
        error = prediction - like(prediction, target)
        slope = np.sign(error.real)
        return weighted(slope * error, sample_weight), (slope, sample_weight)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w sign(p − t)."""
        slope, sample_weight = cache
        gradient: Array = weighted(upstream, sample_weight) * slope
        return gradient

    def branches(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> Array:
        """1 where p > t, 0 where p < t, -1 where p = t."""
        return side(prediction - like(prediction, target))
