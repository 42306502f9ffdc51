"""Negative log-likelihood of log-probabilities and integer classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._classes import OfClasses
from gradcheck.losses._data import Array
from gradcheck.losses._weighted import weighted


@dataclass(frozen=True)
class Nll(OfClasses):
    """Negative log-likelihood of log-probabilities and integer classes.

    forward     l  = −w Σ u p      log-probabilities p (N, ..., C) with the C classes along `axis`
                                   target t (N, ...) in 0 … C−1, losses l (N, ...)
                                   u = v onehot(t), 0 where t is ignore_index, v = class_weight
                                   weights w (N, ...), default 1

    backward    dp = −dl w u       dp (N, ..., C)

    domain      real p (what is not normalised has a loss all the same), classes

    divisors    mean: Σ v of the valid targets (their number without v), or by mean_over
    """

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = −w Σ u p."""
        u = self.shares(prediction, target)
        losses = -(u * prediction).sum(axis=self.axis)
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (u, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = −dl w u."""
        u, w = cache
        gradient: Array = -np.expand_dims(weighted(upstream, w), self.axis) * u
        return gradient
