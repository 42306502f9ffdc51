"""How far the score of the target's class fails to stand out among all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradcheck.losses._classes import require_class_axis, require_classes
from gradcheck.losses._data import Array, Shape
from gradcheck.losses._weighted import Weighted, Weights, require_one_for_each, weighted


@dataclass(frozen=True)
class MultiMargin(Weighted):
    """How far the score of the target's class fails to stand out among all others (multi-class hinge loss).

    forward     l  = w v_t / C Σ max(0, z)ᵖ,  z = m − s_t + s    scores s (N, ..., C), target t (N, ...) in 0 … C−1
                                                                 the sum is over the classes other than t, p = 1 or 2
                                                                 m = margin, v = class_weight, losses l (N, ...)
                                                                 weights w, default 1

    backward    ds = dl w v_t / C p max(0, z)ᵖ⁻¹                 ds (N, ..., C), for classes other than t where z > 0
                ds_t = −Σ ds of the others

    domain      real s, classes

    divisors    mean: the number of losses, whatever the class weights, as in PyTorch, or Σ w by mean_over

    At z = 0, where there is no derivative with p = 1, backward says 0.
    """

    p: Literal[1, 2] = 1
    margin: float = 1.0
    class_weight: Weights | None = None

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """A class for each position; weights fit."""
        shape = prediction_shapes[0]
        require_class_axis(shape, -1)
        require_classes(shape, -1, data["target"])
        require_one_for_each("class_weight", self.class_weight, shape, -1, "classes")
        self.require_weights(shape[:-1], data)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w v_t / C Σ max(0, z)ᵖ, z = m − s_t + s."""
        z = self._behind(prediction, target)
        z = np.where(z.real <= 0, 0, z)
        np.put_along_axis(z, target[..., None], 0, -1)
        v = np.ones(z.shape[-1]) if self.class_weight is None else np.array(self.class_weight)
        share = (v[target] / z.shape[-1]).astype(z.real.dtype)
        losses = share * (z**self.p).sum(axis=-1)
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (z, share, target, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """ds = dl w v_t / C p max(0, z)ᵖ⁻¹, ds_t = −Σ ds of the others."""
        z, share, target, w = cache
        slope = np.sign(z) if self.p == 1 else 2 * z
        np.put_along_axis(slope, target[..., None], -slope.sum(axis=-1, keepdims=True), -1)
        gradient: Array = (weighted(upstream, w) * share)[..., None] * slope
        return gradient

    def branches(self, prediction: Array, target: Array, **weights: Any) -> Array:
        """1 where z > 0, 0 where z < 0 and at the target, -1 where z = 0 (0 if p = 2)."""
        z = self._behind(prediction.real, target)
        border = (z == 0) & (self.p == 1)
        pieces = np.where(border, -1, z > 0).astype(np.int8)
        np.put_along_axis(pieces, target[..., None], 0, -1)
        return pieces

    def _behind(self, prediction: Array, target: Array) -> Array:
        """z = m − s_t + s."""
        return prediction - (np.take_along_axis(prediction, target[..., None], -1) - self.margin)
