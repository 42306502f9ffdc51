"""Embeddings of length 1 whose backward divides by the length, and forgets that the length moves, too.

wrong   dx = dy / length
right   dx = (dy - y * (dy * y).sum(axis=-1, keepdims=True)) / length
"""

import numpy as np

from gradcheck import Layer


class ProjectionForgotten(Layer):
    """y = x / ‖x‖."""

    def forward(self, x):
        length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
        y = x / length
        return y, (y, length)

    def backward(self, dy, cache):
        y, length = cache
        dx = dy / length
        return dx, {}
