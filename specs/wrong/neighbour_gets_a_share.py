"""A layer whose backward smooths the gradient over neighbouring samples, as if the batch were a sequence.

wrong   dx = slope * (0.9 * dy + 0.1 * np.roll(dy, 1, axis=0))
right   dx = slope * dy
"""

import numpy as np

from gradcheck import Layer


class NeighbourGetsAShare(Layer):
    """y = tanh(x)."""

    def forward(self, x):
        y = np.tanh(x)
        return y, y

    def backward(self, dy, cache):
        slope = 1 - cache**2
        dx = slope * (0.9 * dy + 0.1 * np.roll(dy, 1, axis=0))
        return dx, {}
