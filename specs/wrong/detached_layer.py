"""A layer that learns its own scale but sends nothing back: the layers below never learn.

wrong   dx = np.zeros_like(dy)
right   dx = dy * scale
"""

import numpy as np

from gradcheck import Layer


class DetachedLayer(Layer):
    """y = x ⊙ scale."""

    def init(self, rng, x_shape):
        return {"scale": rng.uniform(0.5, 2, x_shape[-1])}

    def forward(self, x, scale):
        return x * scale, (x, scale)

    def backward(self, dy, cache):
        x, scale = cache
        dx = np.zeros_like(dy)
        return dx, {"scale": (dy * x).sum(axis=0)}
