"""A clamp that lets the gradient pass where its input is exactly the bound."""

import numpy as np

from gradcheck import Layer


class ClampOpenAtItsBound(Layer):
    """y = min(1, max(-1, x))."""

    def forward(self, x):
        y = np.where(x.real > 1, 1, np.where(x.real < -1, -1, x))
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return dy * (np.abs(x) <= 1), {}
