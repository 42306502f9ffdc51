"""A Huber loss with a signed threshold in backward.

wrong   inner = e <= self.delta
right   inner = np.abs(e) <= self.delta
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Loss


@dataclass(frozen=True)
class SignedThreshold(Loss):
    """l = e² / 2 where |e| ≤ δ, else δ (|e| - δ/2)."""

    delta: float = 1.0

    def forward(self, prediction, target):
        e = prediction - target
        inner, sign = np.abs(e.real) <= self.delta, np.sign(e.real)
        return np.where(inner, e * e / 2, self.delta * (sign * e - self.delta / 2)), (e, sign)

    def backward(self, upstream, cache):
        e, sign = cache
        inner = e <= self.delta
        return upstream * np.where(inner, e, self.delta * sign)
