"""A normal likelihood differentiated with respect to the wrong one of two parameters.

wrong   dv = 1 / np.sqrt(v) - e * e / v**1.5
right   dv = (1 / v - (e / v) ** 2) / 2
"""

import numpy as np

from gradcheck import Loss


class VarianceForDeviation(Loss):
    """l = ½ (log v + (p - t)² / v) of a mean p and a variance v."""

    def forward(self, mean, variance, target):
        e = mean - target
        return (np.log(variance) + e * e / variance) / 2, (e, variance)

    def backward(self, upstream, cache):
        e, v = cache
        dv = 1 / np.sqrt(v) - e * e / v**1.5
        return upstream * e / v, upstream * dv
