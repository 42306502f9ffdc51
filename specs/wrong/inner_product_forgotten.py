"""A softmax whose backward forgets what ties its outputs together.

The outputs of a sample add up to 1, so a push on one of them is felt by all: dx = y (dy - Σ dy y).

wrong   dx = y * dy
right   dx = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
"""

import numpy as np

from gradcheck import Layer


class InnerProductForgotten(Layer):
    """y = softmax(x), along the last axis."""

    def forward(self, x):
        y = np.exp(x - x.real.max(axis=-1, keepdims=True))
        y = y / y.sum(axis=-1, keepdims=True)
        return y, y

    def backward(self, dy, y):
        dx = y * dy
        return dx, {}
