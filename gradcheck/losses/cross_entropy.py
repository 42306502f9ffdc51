"""Cross-entropy of logits and the classes, or their probabilities, that are the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.losses._classes import OfClasses
from gradcheck.losses._data import Array
from gradcheck.losses._weighted import weighted
from gradcheck.maths import log_softmax, sum_of_others


@dataclass(frozen=True)
class CrossEntropy(OfClasses):
    """Cross-entropy of logits and the classes, or their probabilities, that are the target.

    forward     l  = −w Σ u log q,  q = softmax(p)    logits p (N, ..., C) with the C classes along `axis`
                                                      target t (N, ...) in 0 … C−1, or probabilities (N, ..., C)
                                                      u = v y, y = (1 − ε) onehot(t) + ε / C, 0 where t is ignore_index
                                                      v = class_weight, ε = label_smoothing, losses l (N, ...)
                                                      weights w (N, ...), default 1

    backward    dp = dl w (q Σ u − u)                 dp (N, ..., C)

    domain      real p; classes, or probabilities in [0, 1]

    divisors    mean: Σ v of the valid targets (their number without v; of probabilities, the positions), or by
                mean_over

    qⱼ Σ u − uⱼ is computed as qⱼ Σ u − uⱼ Σ q, both over the other classes, which does not cancel where the prediction
    is right.
    """

    takes_probabilities = True

    label_smoothing: Annotated[float, Meta(ge=0, le=1)] = 0.0

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = −w Σ u log q."""
        log_q = log_softmax(prediction, self.axis)
        u = self.shares(prediction, target, self.label_smoothing)
        losses = -(u * log_q).sum(axis=self.axis)
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (log_q, u, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w (q Σ u − u)."""
        log_q, u, w = cache
        q = np.exp(log_q)
        difference = q * sum_of_others(u, self.axis) - u * sum_of_others(q, self.axis)
        gradient: Array = np.expand_dims(weighted(upstream, w), self.axis) * difference
        return gradient
