"""Jensen-Shannon divergence of a target distribution and predicted log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.complex_safe import logaddexp
from gradcheck.losses._data import Array, like, require_between
from gradcheck.losses._weighted import Pointwise, weighted
from gradcheck.maths import t_log_t


@dataclass(frozen=True)
class JensenShannon(Pointwise):
    """Jensen-Shannon divergence of a target distribution and predicted log-probabilities (Lin 1991).

    forward     l  = w ½ (t log(t / m) + q log(q / m))     log-probabilities p, target t, losses l (N, ..., C)
                q  = eᵖ,  m = (q + t) / 2                  weights w, default 1

    backward    dp = dl w ½ q log(q / m)                   dp (N, ..., C)

    domain      real p (what is not normalised has a loss all the same), t ≥ 0, where 0 log 0 = 0

    divisors    batch_mean: the samples, which gives the divergence; mean divides by all numbers, the classes too

    log m is computed from p and log t, so that it stays finite where q vanishes.
    """

    def check_target(self, target: Array) -> None:
        """The target holds probabilities."""
        require_between(0, np.inf, target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w ½ (t log(t / m) + q log(q / m))."""
        t = like(prediction, target)
        positive = t > 0
        log_t = np.log(np.where(positive, t, 1))
        total = np.where(positive, logaddexp(prediction, log_t), prediction)
        log_m = total - np.log(np.asarray(2, dtype=t.dtype))
        above = prediction - log_m
        losses = (t_log_t(t) - t * log_m + np.exp(prediction) * above) / 2
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (prediction, above, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w ½ q log(q / m)."""
        p, above, w = cache
        gradient: Array = weighted(upstream, w) * np.exp(p) * above / 2
        return gradient
