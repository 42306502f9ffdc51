"""A sum that hands its gradient to the layers and nothing to the shortcut.

wrong   dx = np.zeros_like(dy)
right   dx = dy.copy()
"""

import numpy as np

from gradcheck import Layer


class SkipForgotten(Layer):
    """y = x + f."""

    def forward(self, x, f):
        return x + f, np.shape(x)

    def backward(self, dy, cache):
        dx = np.zeros_like(dy)
        return (dx, dy), {}
