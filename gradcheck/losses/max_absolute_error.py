"""The greatest absolute error among a sample's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, Shape, like, require_target_like
from gradcheck.losses._weighted import Weighted, Weights, require_one_for_each, weighted


@dataclass(frozen=True)
class MaxAbsoluteError(Weighted):
    """The greatest absolute error among a sample's outputs, ‖p − t‖∞.

    forward     l  = w max v |p − t|           prediction p (N, ...), target t (N, ...), losses l (N,)
                                               v = output_weight, weights w (N,), default 1

    backward    dp = dl w v sign(p − t) at the first greatest error, else 0    dp (N, ...)

    domain      real p and t

    Where several errors are the greatest, or all are 0, there is no derivative; the first has all of it.
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
        """l = w max v |p − t|."""
        error, slope = self._errors(prediction, target)
        place = (np.arange(len(error)), (error * slope).real.argmax(axis=1))
        losses = error[place] * slope[place]
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (prediction.shape, place, slope[place], w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w v sign(p − t) at the first greatest error."""
        shape, place, slope, w = cache
        gradient = np.zeros((shape[0], int(np.prod(shape[1:]))), dtype=upstream.dtype)
        gradient[place] = weighted(upstream, w) * slope
        return gradient.reshape(shape)

    def branches(self, prediction: Array, target: Array, **weights: Any) -> Array:
        """Which output has the greatest error, and on which side; -1 where several have."""
        error, slope = self._errors(prediction.real, target)
        sizes = error * slope
        first = sizes.argmax(axis=1)
        several = (sizes == sizes.max(axis=1, keepdims=True)).sum(axis=1) > 1
        signs = slope[np.arange(len(error)), first] > 0
        unique = ~several & sizes.any(axis=1)
        return np.where(unique, 2 * first + signs, -1)

    def _errors(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """p − t and v sign(p − t), (N, outputs)."""
        error = prediction - like(prediction, target)
        v = 1 if self.output_weight is None else like(prediction, np.array(self.output_weight))
        n = len(error)
        return error.reshape(n, -1), (v * np.sign(error.real)).reshape(n, -1)
