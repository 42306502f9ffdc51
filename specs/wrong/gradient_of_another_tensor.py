"""A scale and a shift of one shape, whose gradients are returned under each other's name.

wrong   return dy * scale, {"scale": dshift, "shift": dscale}
right   return dy * scale, {"scale": dscale, "shift": dshift}
"""

import numpy as np

from gradcheck import Layer


class GradientOfAnotherTensor(Layer):
    """y = x ⊙ scale + shift."""

    def init(self, rng, x_shape):
        features = x_shape[-1]
        return {"scale": rng.uniform(0.5, 2, features), "shift": rng.standard_normal(features)}

    def forward(self, x, scale, shift):
        return x * scale + shift, (x, scale)

    def backward(self, dy, cache):
        x, scale = cache
        dscale, dshift = (dy * x).sum(axis=0), np.sum(dy, axis=0)
        return dy * scale, {"scale": dshift, "shift": dscale}
