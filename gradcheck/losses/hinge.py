"""How far a score stays behind a margin on its target's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array, like, require_signs
from gradcheck.losses._weighted import Pointwise, weighted
from gradcheck.maths import side


@dataclass(frozen=True)
class Hinge(Pointwise):
    """How far a score stays behind a margin on its target's side (Cortes and Vapnik 1995).

    forward     l  = w max(0, z), z = m − t p; squared: w max(0, z)²     scores p, target t = ±1, losses l (N, ...)
                                                                         m = margin, weights w, default 1

    backward    dp = −dl w t where z > 0, else 0; squared: −dl 2 w t z   dp (N, ...)

    domain      real p, t = −1 or 1

    At z = 0, where there is no derivative unless it is squared, backward says 0.
    """

    margin: float = 1.0
    squared: bool = False

    def check_target(self, target: Array) -> None:
        """The target is −1 or 1."""
        require_signs(target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w max(0, z), z = m − t p."""
        t = like(prediction, target)
        z = self.margin - t * prediction
        z = np.where(z.real <= 0, 0, z)
        w = self.weights(prediction, sample_weight, mask)
        return weighted(z * z if self.squared else z, w), (z, t, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp = −dl w t where z > 0, else 0."""
        z, t, w = cache
        slope = 2 * z if self.squared else np.sign(z)
        gradient: Array = -weighted(upstream, w) * t * slope
        return gradient

    def branches(self, prediction: Array, target: Array, **weights: Any) -> Array:
        """1 where z > 0, 0 where z < 0, -1 where z = 0 (0 if squared)."""
        return side(self.margin - like(prediction, target) * prediction, smooth=self.squared)
