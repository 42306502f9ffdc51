"""Negative log-likelihood of counts with a Poisson distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.losses._data import Array, like, require_all, require_between
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class PoissonNll(Pointwise):
    """Negative log-likelihood of counts with a Poisson distribution.

    forward     l  = w (eᵖ − t p + s)             log-rates p, target t, losses l (N, ...), weights w, default 1
                l  = w (p − t log(p + ε) + s)     with log_input: false, for rates p; ε = eps
                s  = t log t − t + ½ log 2πt      with full, where t > 1 (Stirling's log t!), else 0

    backward    dp = dl w (eᵖ − t)                dp (N, ...)
                dp = dl w (1 − t / (p + ε))       with log_input: false

    domain      real p, or p + ε > 0 with log_input: false; t ≥ 0
    """

    log_input: bool = True
    full: bool = False
    eps: Annotated[float, Meta(gt=0)] = 1e-8

    def check_target(self, target: Array) -> None:
        """The target holds counts."""
        require_between(0, np.inf, target)

    def check_values(self, *predictions: Array) -> None:
        """Rates have a logarithm."""
        if not self.log_input:
            needed = "positive rates as predictions with log_input: false"
            require_all(predictions[0] + self.eps > 0, needed, predictions[0])

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w (eᵖ − t p + s), or w (p − t log(p + ε) + s)."""
        t = like(prediction, target)
        if self.log_input:
            losses = np.exp(prediction) - t * prediction
        else:
            losses = prediction - t * np.log(prediction + self.eps)
        if self.full:
            many = np.where(t > 1, t, 1)
            losses = losses + np.where(t > 1, many * np.log(many) - many + np.log(2 * np.pi * many) / 2, 0)
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (prediction, t, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w (eᵖ − t), or dl w (1 − t / (p + ε))."""
        p, t, w = cache
        gradient: Array = weighted(upstream, w) * (np.exp(p) - t if self.log_input else 1 - t / (p + self.eps))
        return gradient
