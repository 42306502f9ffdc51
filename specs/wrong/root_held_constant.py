"""A root-mean-square normalisation whose root is held constant in backward.

r depends on every x: longer by a factor, x is the same after the division.

wrong   dx = g / r
right   dx = (g - z * (g * z).mean(axis=-1, keepdims=True)) / r
"""

import numpy as np

from gradcheck import Layer


class RootHeldConstant(Layer):
    """y = w x / r with r = √(mean x² + ε)."""

    def init(self, rng, x_shape):
        return {"weight": rng.uniform(0.5, 1.5, x_shape[-1])}

    def forward(self, x, weight):
        r = np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
        z = x / r
        return weight * z, (z, r, weight)

    def backward(self, dy, cache):
        z, r, weight = cache
        g = weight * dy
        dx = g / r
        return dx, {"weight": (dy * z).sum(axis=0)}
