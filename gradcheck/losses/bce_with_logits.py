"""Binary cross-entropy of a logit and the probability that is its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._base import Loss
from gradcheck.losses._data import Array, Shape, like, require_all, require_target_like, require_weights, weighted
from gradcheck.maths import sigmoid, softplus


@dataclass(frozen=True)
class BceWithLogits(Loss):
    """Binary cross-entropy of a logit and the probability that is its target.

    forward     l  = w (t log(1 + e⁻ᵖ) + (1 − t) log(1 + eᵖ))    logits p, target t in [0, 1], losses l (N, ...)
                                                                 sample_weight w (N,), default 1

    backward    dp = dl w ((1 − t) σ(p) − t σ(−p))               dp (N, ...)

    σ is the logistic function; (1 − t) σ(p) − t σ(−p) is σ(p) − t, without the cancellation where p is right.
    """

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """The target has the prediction's shape and holds probabilities; one weight a sample."""
        target = data["target"]
        require_target_like(prediction_shapes[0], target)
        require_all((target >= 0) & (target <= 1), "a target between 0 and 1", target)
        require_weights(prediction_shapes[0], data.get("sample_weight"))

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[Array, Any]:
        """l = w (t log(1 + e⁻ᵖ) + (1 − t) log(1 + eᵖ))."""
        t = like(prediction, target)
        losses = t * softplus(-prediction) + (1 - t) * softplus(prediction)
        return weighted(losses, sample_weight), (prediction, t, sample_weight)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w ((1 − t) σ(p) − t σ(−p))."""
        p, t, sample_weight = cache
        gradient: Array = weighted(upstream, sample_weight) * ((1 - t) * sigmoid(p) - t * sigmoid(-p))
        return gradient
