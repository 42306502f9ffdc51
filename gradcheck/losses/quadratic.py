"""Half the squared distance of a sample's outputs from its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, Shape, like, require_target_like
from gradcheck.losses._weighted import Weighted, Weights, require_one_for_each, weighted


@dataclass(frozen=True)
class Quadratic(Weighted):
    """Half the squared distance of a sample's outputs from its target.

    forward     l  = w ½ ‖p − t‖² = w ½ Σ v (p − t)²    prediction p (N, ...), target t (N, ...), losses l (N,)
                                                        v = output_weight, weights w (N,), default 1

    backward    dp = dl w v (p − t)                     dp (N, ...)

    domain      real p and t
    """

    output_weight: Weights | None = None

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """The target has the prediction's shape; one weight a sample, one an output."""
        shape = prediction_shapes[0]
        require_target_like(shape, data["target"])
        require_one_for_each("output_weight", self.output_weight, shape, -1, "outputs")
        self.require_weights(shape[:1], data)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w ½ Σ v (p − t)²."""
        error = prediction - like(prediction, target)
        v = None if self.output_weight is None else like(prediction, np.array(self.output_weight))
        losses = weighted(error**2, v).reshape(len(error), -1).sum(axis=1) / 2
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (error, v, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w v (p − t)."""
        error, v, w = cache
        each = weighted(upstream, w).reshape(-1, *[1] * (error.ndim - 1))
        gradient: Array = each * weighted(error, v)
        return gradient
