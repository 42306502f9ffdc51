"""Binary cross-entropy of a logit and the probability that is its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.losses._data import Array, Shape, like, require_between
from gradcheck.losses._weighted import Pointwise, Weights, require_one_for_each, weighted
from gradcheck.maths import sigmoid, softplus


@dataclass(frozen=True)
class BceWithLogits(Pointwise):
    """Binary cross-entropy of a logit and the probability that is its target.

    forward     l  = w (c t log(1 + e⁻ᵖ) + (1 − t) log(1 + eᵖ))    logits p, target t, losses l (N, ...)
                                                                   c = pos_weight, one for all outputs or one for each
                                                                   weights w, default 1

    backward    dp = dl w ((1 − t) σ(p) − c t σ(−p))               dp (N, ...)

    domain      real p, t in [0, 1]

    σ is the logistic function; without c, (1 − t) σ(p) − t σ(−p) is σ(p) − t, without the cancellation where p is
    right.
    """

    pos_weight: Annotated[float, Meta(ge=0)] | Weights = 1.0

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """A weight of the positive class for each output, beside what every such loss asks."""
        if isinstance(self.pos_weight, tuple):
            require_one_for_each("pos_weight", self.pos_weight, prediction_shapes[0], -1, "outputs")
        super().check(*prediction_shapes, **data)

    def check_target(self, target: Array) -> None:
        """The target holds probabilities."""
        require_between(0, 1, target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w (c t log(1 + e⁻ᵖ) + (1 − t) log(1 + eᵖ))."""
        t = like(prediction, target)
        ct = like(prediction, np.asarray(self.pos_weight)) * t
        losses = ct * softplus(-prediction) + (1 - t) * softplus(prediction)
        w = self.weights(prediction, sample_weight, mask)
        return weighted(losses, w), (prediction, t, ct, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w ((1 − t) σ(p) − c t σ(−p))."""
        p, t, ct, w = cache
        gradient: Array = weighted(upstream, w) * ((1 - t) * sigmoid(p) - ct * sigmoid(-p))
        return gradient
