"""A scale that takes a step of gradient descent inside its backward.

wrong   scale -= 0.1 * gradient
right   scale = scale - 0.1 * gradient
"""

import numpy as np

from gradcheck import Layer


class ParametersStepped(Layer):
    """y = scale ⊙ x, one scale for each feature."""

    def init(self, rng, x_shape):
        return {"scale": rng.standard_normal(x_shape[1:])}

    def forward(self, x, scale):
        return x * scale, (x, scale)

    def backward(self, dy, cache):
        x, scale = cache
        dx = dy * scale
        gradient = np.sum(dy * x, axis=0)
        scale -= 0.1 * gradient
        return dx, {"scale": gradient}
