"""Kullback-Leibler divergence of a diagonal normal distribution from the standard one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class GaussianKl(Pointwise):
    """Kullback-Leibler divergence of a diagonal normal distribution from the standard one (Kingma and Welling 2014).

    forward     l  = w ½ (μ² + eᵛ − 1 − v)    means μ, logarithms v of the variances, losses l (N, ...)
                                              weights w, default 1

    backward    dμ = dl w μ                   dμ (N, ...)
                dv = dl w ½ (eᵛ − 1)          dv (N, ...)

    domain      real μ and v

    divisors    batch_mean: the samples, which gives the term of a variational autoencoder; mean divides by all numbers

    Without a target. eᵛ − 1 is computed without the cancellation near v = 0.
    """

    def forward(
        self, mean: Array, log_variance: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w ½ (μ² + eᵛ − 1 − v)."""
        excess = np.expm1(log_variance)
        w = self.weights(mean, sample_weight, mask)
        return weighted((mean * mean + excess - log_variance) / 2, w), (mean, excess, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """dμ = dl w μ, dv = dl w ½ (eᵛ − 1)."""
        mean, excess, w = cache
        each = weighted(upstream, w)
        return each * mean, each * excess / 2
