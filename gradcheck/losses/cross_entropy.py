"""Cross-entropy of logits and integer classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.losses._base import Loss
from gradcheck.losses._data import Array, Shape, require_all, require_weights, weighted
from gradcheck.maths import log_softmax


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy of logits and integer classes.

    forward     l  = −w log q_t,  q = softmax(p)    logits p (N, ..., C) with the C classes along `axis`
                                                    target t (N, ...) in 0 … C−1, losses l (N, ...)
                                                    sample_weight w (N,), default 1

    backward    dp = dl w (q − onehot(t))           dp (N, ..., C)

    q_t − 1 is computed as −Σ q of the other classes, which does not cancel where the prediction is right.
    """

    axis: int = -1

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """The class axis is not the batch; a class for each of the other positions; one weight a sample."""
        shape, target = prediction_shapes[0], data["target"]
        inner = len(shape) - 1
        if not inner:
            raise ShapeError(f"needs a prediction (N, ..., classes), got {shape}")
        axes = [*range(1, inner + 1), *range(-inner, 0)]
        if self.axis not in axes:
            raise ShapeError(
                f"needs the classes on one of the axes {', '.join(map(str, axes))} for a prediction {shape}, "
                f"got axis {self.axis}"
            )
        if target.dtype.kind not in "iu":
            raise ShapeError(f"needs integer classes as target, got {target.dtype}")
        positions = tuple(np.delete(shape, self.axis).tolist())
        if target.shape != positions:
            raise ShapeError(f"needs a target of shape {positions} for a prediction {shape}, got {target.shape}")
        classes = shape[self.axis]
        require_all((target >= 0) & (target < classes), f"classes from 0 to {classes - 1}", target)
        require_weights(shape, data.get("sample_weight"))

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[Array, Any]:
        """l = −w log q_t."""
        log_q = log_softmax(prediction, self.axis)
        chosen = np.expand_dims(target, self.axis)
        log_q_t = np.take_along_axis(log_q, chosen, self.axis).squeeze(self.axis)
        return weighted(-log_q_t, sample_weight), (log_q, chosen, sample_weight)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = dl w (q − onehot(t))."""
        log_q, chosen, sample_weight = cache
        difference = np.exp(log_q)
        np.put_along_axis(difference, chosen, 0, self.axis)
        others = difference.sum(axis=self.axis, keepdims=True)
        np.put_along_axis(difference, chosen, -others, self.axis)
        gradient: Array = np.expand_dims(weighted(upstream, sample_weight), self.axis) * difference
        return gradient
