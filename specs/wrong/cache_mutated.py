"""A sigmoid whose backward builds the slope y (1 - y) inside the array that forward has kept.

wrong   slope = y
right   slope = y.copy()
"""

import numpy as np

from gradcheck import Layer


class CacheMutated(Layer):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x):
        y = 1 / (1 + np.exp(-x))
        return y, y

    def backward(self, dy, cache):
        y = cache
        slope = y
        slope *= 1 - y
        return dy * slope, {}
