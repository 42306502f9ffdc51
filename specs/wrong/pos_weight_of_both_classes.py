"""A binary cross entropy with the weight of its positive class on both.

wrong   gradient = self.pos_weight * (q - t)
right   gradient = (1 - t) * q - self.pos_weight * t * (1 - q)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Loss


@dataclass(frozen=True)
class PosWeightOfBothClasses(Loss):
    """l = c t log(1 + e^-p) + (1 - t) log(1 + e^p)."""

    pos_weight: float = 1.0

    def forward(self, prediction, target):
        positive, negative = np.log1p(np.exp(-prediction)), np.log1p(np.exp(prediction))
        return self.pos_weight * target * positive + (1 - target) * negative, (prediction, target)

    def backward(self, upstream, cache):
        p, t = cache
        q = 1 / (1 + np.exp(-p))
        gradient = self.pos_weight * (q - t)
        return upstream * gradient
