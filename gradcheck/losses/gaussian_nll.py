"""Negative log-likelihood with a normal distribution whose mean and variance are predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.losses._data import Array, like, require_all
from gradcheck.losses._weighted import Pointwise, weighted
from gradcheck.maths import side


@dataclass(frozen=True)
class GaussianNll(Pointwise):
    """Negative log-likelihood with a normal distribution whose mean and variance are predicted (Nix and Weigend 1994).

    forward     l  = w ½ (log s + e² / s)                e = p − t, means p, variances v, target t, losses l (N, ...)
                s  = max(v, ε)                           ε = eps, weights w, default 1
                                                         with full, ½ log 2π more

    backward    dp = dl w e / s                          dp (N, ...)
                dv = dl w ½ (1 / s − (e / s)²)           dv (N, ...), 0 where v ≤ ε

    domain      real p and t, v ≥ 0

    Where v < ε, PyTorch hands back the gradient of an s that were not clamped; here it is 0, that of the loss.
    """

    full: bool = False
    eps: Annotated[float, Meta(gt=0)] = 1e-6

    def check_values(self, *predictions: Array) -> None:
        """No variance is negative."""
        v = predictions[1]
        require_all(v >= 0, "variances of at least 0 as second prediction (a softplus in front)", v)

    def forward(
        self, prediction: Array, variance: Array, target: Array,
        sample_weight: Array | None = None, mask: Array | None = None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """l = w ½ (log s + e² / s), s = max(v, ε)."""
        e = prediction - like(prediction, target)
        clamped = variance.real <= self.eps
        s = np.where(clamped, self.eps, variance)
        losses = (np.log(s) + e * e / s) / 2
        if self.full:
            losses = losses + math.log(2 * math.pi) / 2
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (e, s, clamped, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """dp = dl w e / s, dv = dl w ½ (1 / s − (e / s)²)."""
        e, s, clamped, w = cache
        each = weighted(upstream, w)
        return each * e / s, np.where(clamped, 0, each * (1 / s - (e / s) ** 2) / 2)

    def branches(self, prediction: Array, variance: Array, target: Array, **weights: Any) -> Array:
        """1 where v > ε, 0 where v < ε, -1 where v = ε."""
        return side(variance - self.eps)
