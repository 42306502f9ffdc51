"""Weight normalisation whose direction gets the gradient of the weight.

u = v / |v| does not change when v becomes longer.

wrong   dv = g * dW / length
right   dv = g * (dW - u * (u * dW).sum(axis=0)) / length
"""

import numpy as np

from gradcheck import Layer


class DirectionNotProjected(Layer):
    """y = x W with the columns W = g u, u = v / |v|; as many outputs as inputs."""

    def init(self, rng, x_shape):
        features = x_shape[-1]
        return {"v": rng.standard_normal((features, features)), "g": rng.uniform(0.5, 1.5, features)}

    def forward(self, x, v, g):
        length = np.sqrt((v * v).sum(axis=0))
        u = v / length
        return x @ (g * u), (x, g, u, length)

    def backward(self, dy, cache):
        x, g, u, length = cache
        dW = x.T @ dy
        dv = g * dW / length
        return dy @ (g * u).T, {"v": dv, "g": (u * dW).sum(axis=0)}
