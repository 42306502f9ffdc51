"""Binary cross-entropy of a probability and the probability that is its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, like, require_all, require_between
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class Bce(Pointwise):
    """Binary cross-entropy of a probability and the probability that is its target.

    forward     l  = −w (t log p + (1 − t) log(1 − p))    probabilities p, target t, losses l (N, ...)
                                                          weights w, default 1

    backward    dp = dl w ((1 − t) / (1 − p) − t / p)     dp (N, ...)

    domain      p in (0, 1), t in [0, 1]

    Nothing is clamped: a p that has been rounded to 0 or 1 has no derivative here, and bce_with_logits is what to use.
    """

    def check_target(self, target: Array) -> None:
        """The target holds probabilities."""
        require_between(0, 1, target)

    def check_values(self, *predictions: Array) -> None:
        """The logarithms exist."""
        p = predictions[0]
        needed = "predictions between 0 and 1, without either (a sigmoid in front, or bce_with_logits without it)"
        require_all((p > 0) & (p < 1), needed, p)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = −w (t log p + (1 − t) log(1 − p))."""
        t = like(prediction, target)
        losses = -(t * np.log(prediction) + (1 - t) * np.log1p(-prediction))
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (prediction, t, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w ((1 − t) / (1 − p) − t / p)."""
        p, t, w = cache
        gradient: Array = weighted(upstream, w) * ((1 - t) / (1 - p) - t / p)
        return gradient
