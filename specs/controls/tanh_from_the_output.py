"""A tanh whose derivative is written in terms of its output: 1 - y² is what 1 - tanh² x is."""

import numpy as np

from gradcheck import Layer


class TanhFromTheOutput(Layer):
    """y = tanh x."""

    def forward(self, x):
        y = np.tanh(x)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return dy * (1 - y**2), {}
