"""A binary cross entropy that loses its gradient at great logits.

wrong   inside = (q > 1e-7) & (q < 1 - 1e-7)
right   inside = True
"""

import numpy as np

from gradcheck import Loss


class ClampedProbability(Loss):
    """l = log(1 + e^p) - t p, computed without overflow."""

    def forward(self, prediction, target):
        positive = prediction.real > 0
        tail = np.log1p(np.exp(np.where(positive, -prediction, prediction)))
        return np.where(positive, prediction, 0) + tail - target * prediction, (prediction, target)

    def backward(self, upstream, cache):
        p, t = cache
        q = 1 / (1 + np.exp(-p))
        inside = (q > 1e-7) & (q < 1 - 1e-7)
        return upstream * inside * (q - t)
