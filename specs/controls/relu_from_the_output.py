"""A relu that looks at its output, at inputs that are exactly 0: there it says 0, one of the two slopes."""

import numpy as np

from gradcheck import Layer


class ReluFromTheOutput(Layer):
    """y = max(0, x)."""

    def forward(self, x):
        y = np.where(x > 0, x, 0)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return dy * (y > 0), {}
