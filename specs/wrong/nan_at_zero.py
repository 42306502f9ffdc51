"""sin(x)/x, whose value at 0 is looked after and whose slope at 0 is not: 0/0 is NaN.

wrong   dx = dy * slope
right   dx = dy * np.where(x == 0, 0, slope)
"""

import numpy as np

from gradcheck import Layer


class NanAtZero(Layer):
    """y = sin(x) / x, and 1 at 0."""

    def forward(self, x):
        safe = np.where(x == 0, 1, x)
        return np.where(x == 0, 1, np.sin(safe) / safe), x

    def backward(self, dy, cache):
        x = cache
        with np.errstate(invalid="ignore"):
            slope = (x * np.cos(x) - np.sin(x)) / x**2
        dx = dy * slope
        return dx, {}
