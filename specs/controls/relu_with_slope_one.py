"""A relu that says 1 at exactly 0, the other of the two slopes."""

import numpy as np

from gradcheck import Layer


class ReluWithSlopeOne(Layer):
    """y = max(0, x)."""

    def forward(self, x):
        y = np.where(x.real >= 0, x, 0)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return dy * (x >= 0), {}
