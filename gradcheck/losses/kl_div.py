"""Kullback-Leibler divergence of a target distribution from predicted log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, like, require_between
from gradcheck.losses._weighted import Pointwise, weighted
from gradcheck.maths import t_log_t


@dataclass(frozen=True)
class KlDiv(Pointwise):
    """Kullback-Leibler divergence of a target distribution from predicted log-probabilities.

    forward     l  = w t (log t − p)      log-probabilities p, target t, or its logarithm with log_target
                                          losses l (N, ..., C), weights w, default 1

    backward    dp = −dl w t              dp (N, ..., C)

    domain      real p (what is not normalised has a loss all the same), t ≥ 0, where 0 log 0 = 0

    divisors    batch_mean: the samples, which gives the divergence; mean divides by all numbers, the classes too
    """

    log_target: bool = False

    def check_target(self, target: Array) -> None:
        """The target holds probabilities, or their logarithms."""
        if not self.log_target:
            require_between(0, np.inf, target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w t (log t − p)."""
        t = like(prediction, target)
        if self.log_target:
            log_t, t = t, np.exp(t)
            losses = t * (log_t - prediction)
        else:
            losses = t_log_t(t) - t * prediction
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (t, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = −dl w t."""
        t, w = cache
        gradient: Array = -weighted(upstream, w) * t
        return gradient
