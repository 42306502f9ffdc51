"""A residual connection whose backward sends everything through the block.

wrong   dx = np.zeros_like(dy)
right   dx = dy
"""

import numpy as np

from gradcheck import Layer


class ForgottenShortcut(Layer):
    """y = x + f, with x from before the block and f from its end."""

    def forward(self, x, f):
        return x + f, None

    def backward(self, dy, cache):
        dx = np.zeros_like(dy)
        return (dx, dy), {}
