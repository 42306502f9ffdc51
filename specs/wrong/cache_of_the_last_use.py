"""A layer that keeps its output in itself: the second use overwrites that of the first.

wrong   y = CacheOfTheLastUse.kept
right   y = cache
"""

import numpy as np

from gradcheck import Layer


class CacheOfTheLastUse(Layer):
    """y = tanh(x)."""

    kept = None

    def forward(self, x):
        y = np.tanh(x)
        CacheOfTheLastUse.kept = y
        return y, y

    def backward(self, dy, cache):
        y = CacheOfTheLastUse.kept
        return dy * (1 - y**2), {}
