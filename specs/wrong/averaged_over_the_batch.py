"""Layer normalisation whose backward averages over the batch, as that of a batch normalisation does.

wrong   axis = 0
right   axis = -1
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class AveragedOverTheBatch(Layer):
    """y = (x - mean) / √(variance + eps), with the statistics of each sample."""

    eps: float = 1e-5

    def forward(self, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.eps)
        y = centred / deviation
        return y, (y, deviation)

    def backward(self, dy, cache):
        y, deviation = cache
        axis = 0
        mean, slope = dy.mean(axis, keepdims=True), (dy * y).mean(axis, keepdims=True)
        return (dy - mean - y * slope) / deviation, {}
