"""Batch normalisation whose backward takes mean and deviation for constants.

Every sample moves the mean and the deviation of its batch; the two terms that say so are missing.

wrong   dx = dy / deviation
right   dx = (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / deviation
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class StatisticsHeldConstant(Layer):
    """y = (x - mean) / √(variance + eps), with the statistics of each feature over the batch."""

    eps: float = 1e-5

    def forward(self, x):
        centred = x - x.mean(axis=0)
        deviation = np.sqrt((centred**2).mean(axis=0) + self.eps)
        y = centred / deviation
        return y, (y, deviation)

    def backward(self, dy, cache):
        y, deviation = cache
        dx = dy / deviation
        return dx, {}
