"""A relu that says ½ at exactly 0, a number between the two slopes."""

import numpy as np

from gradcheck import Layer


class ReluWithHalfASlope(Layer):
    """y = max(0, x)."""

    def forward(self, x):
        y = np.where(x.real >= 0, x, 0)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return dy * np.where(x == 0, 0.5, x > 0), {}
