"""A Gaussian activation whose derivative has lost its minus.

wrong   dx = 2 * x * y * dy
right   dx = -2 * x * y * dy
"""

import numpy as np

from gradcheck import Layer


class FlippedSign(Layer):
    """y = exp(-x²)."""

    def forward(self, x):
        y = np.exp(-(x**2))
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        dx = 2 * x * y * dy
        return dx, {}
