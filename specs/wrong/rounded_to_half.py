"""A product with weights whose gradient passes through float16.

wrong   width = np.float16
right   width = dy.dtype
"""

import numpy as np

from gradcheck import Layer


class RoundedToHalf(Layer):
    """y = x w, a weight for each feature."""

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal(x_shape[1])}

    def forward(self, x, weight):
        return x * weight, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        width = np.float16
        dx = (dy * weight).astype(width).astype(dy.dtype)
        return dx, {"weight": (dy * x).sum(axis=0)}
