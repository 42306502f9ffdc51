"""A smooth absolute error without its beta in one branch of backward.

wrong   slope = np.where(inner, e, sign)
right   slope = np.where(inner, e / self.beta, sign)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Loss


@dataclass(frozen=True)
class BetaMissing(Loss):
    """l = e² / 2β where |e| < β, else |e| - β/2."""

    beta: float = 1.0

    def forward(self, prediction, target):
        e = prediction - target
        inner, sign = np.abs(e.real) < self.beta, np.sign(e.real)
        return np.where(inner, e * e / (2 * self.beta), sign * e - self.beta / 2), (e, inner, sign)

    def backward(self, upstream, cache):
        e, inner, sign = cache
        slope = np.where(inner, e, sign)
        return upstream * slope
