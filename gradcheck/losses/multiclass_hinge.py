"""How far the score of the target's class stays behind a margin over the best of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._classes import require_class_axis, require_classes
from gradcheck.losses._data import Array, Shape
from gradcheck.losses._weighted import Weighted, weighted


@dataclass(frozen=True)
class MulticlassHinge(Weighted):
    """How far the score of the target's class stays behind a margin over the best of the others.

    forward     l  = w max(0, z),  z = m − s_t + s_k    scores s (N, ..., C), target t (N, ...) in 0 … C−1
                                                        k the greatest score of the other classes, m = margin
                                                        losses l (N, ...), weights w, default 1

    backward    ds_k = dl w,  ds_t = −dl w where z > 0, else 0    ds (N, ..., C)

    domain      real s, two classes or more

    Crammer and Singer 2001; what scikit-learn's hinge_loss says of several classes. At z = 0 and at ties, where there
    is no derivative, backward says 0 and takes the first of the greatest.
    """

    margin: float = 1.0

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """A class for each position; weights fit."""
        shape = prediction_shapes[0]
        require_class_axis(shape, -1)
        require_classes(shape, -1, data["target"], fewest=2)
        self.require_weights(shape[:-1], data)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w max(0, z), z = m − s_t + s_k."""
        chosen, best = target[..., None], self._best_other(prediction, target)
        s_t, s_k = (np.take_along_axis(prediction, place, -1)[..., 0] for place in (chosen, best))
        z = self.margin - s_t + s_k
        z = np.where(z.real <= 0, 0, z)
        w = self.weights(z, sample_weight, mask)
        return weighted(z, w), (z, chosen, best, prediction.shape, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """ds_k = dl w, ds_t = −dl w where z > 0."""
        z, chosen, best, shape, w = cache
        each = (weighted(upstream, w) * np.sign(z))[..., None]
        gradient = np.zeros(shape, dtype=each.dtype)
        np.put_along_axis(gradient, best, each, -1)
        np.put_along_axis(gradient, chosen, -each, -1)
        return gradient

    def branches(self, prediction: Array, target: Array, **weights: Any) -> Array:
        """0 where z < 0, else 1 + k; -1 where z = 0, or z > 0 and several other classes have the greatest score."""
        scores = prediction.real.copy()
        best = self._best_other(scores, target)
        s_t = np.take_along_axis(scores, target[..., None], -1)
        s_k = np.take_along_axis(scores, best, -1)
        np.put_along_axis(scores, target[..., None], -np.inf, -1)
        z = (self.margin - s_t + s_k)[..., 0]
        tie = (scores == s_k).sum(axis=-1) > 1
        return np.where((z == 0) | ((z > 0) & tie), -1, np.where(z > 0, 1 + best[..., 0], 0))

    def _best_other(self, prediction: Array, target: Array) -> Array:
        """k, (N, ..., 1)."""
        scores = prediction.real.copy()
        np.put_along_axis(scores, target[..., None], -np.inf, -1)
        return np.asarray(scores.argmax(axis=-1, keepdims=True))
