"""A hinge loss without its condition in backward.

wrong   slope = -target
right   slope = -target * (z > 0)
"""

import numpy as np

from gradcheck import Loss


class SatisfiedPairsPulled(Loss):
    """l = max(0, 1 - t p)."""

    def forward(self, prediction, target):
        z = 1 - target * prediction
        return np.where(z.real > 0, z, 0), (z, target)

    def backward(self, upstream, cache):
        z, target = cache
        slope = -target
        return upstream * slope
