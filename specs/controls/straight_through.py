"""A sign whose gradient is handed straight through on purpose; who means it says so with --ignore GC109."""

import numpy as np

from gradcheck import Layer


class StraightThrough(Layer):
    """y = sign x; dx = dy, a straight-through estimator."""

    def forward(self, x):
        y = np.where(x.real >= 0, 1.0, -1.0)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return dy * np.ones_like(x), {}
