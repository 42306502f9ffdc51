"""A clamp that limits the gradient instead of stopping it.

A clamped number no longer depends on its input: nothing flows back to it.

wrong   dx = np.clip(dy, -1, 1)
right   dx = np.where(np.abs(x) < 1, dy, 0)
"""

import numpy as np

from gradcheck import Layer


class ClampsTheGradient(Layer):
    """y = x where |x| < 1, else the nearer of -1 and 1."""

    def forward(self, x):
        return np.where(x.real < -1, -1, np.where(x.real > 1, 1, x)), x

    def backward(self, dy, cache):
        x = cache
        dx = np.clip(dy, -1, 1)
        return dx, {}
