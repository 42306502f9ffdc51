"""A scale whose backward is told that it is frozen, and takes that for the end of the way.

wrong   dx = np.zeros_like(dy) if frozen else dy * scale
right   dx = dy * scale
"""

import numpy as np

from gradcheck import Layer


class FrozenCutsTheWay(Layer):
    """y = x ⊙ scale."""

    def init(self, rng, x_shape):
        return {"scale": rng.uniform(0.5, 2, x_shape[-1])}

    def forward(self, x, scale):
        return x * scale, (x, scale)

    def backward(self, dy, cache, frozen=frozenset()):
        x, scale = cache
        dx = np.zeros_like(dy) if frozen else dy * scale
        return dx, {} if "scale" in frozen else {"scale": (dy * x).sum(axis=0)}
