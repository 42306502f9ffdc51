"""Batch normalisation whose forward divides the variance by N, and whose backward divides by N - 1.

wrong   count = len(dy) - 1
right   count = len(dy)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class OneLessInBackward(Layer):
    """y = weight · z + bias, z = (x - mean) / √(variance + eps)."""

    eps: float = 1e-5

    def init(self, rng, x_shape):
        return {"weight": rng.uniform(0.5, 1.5, x_shape[1]), "bias": rng.uniform(-0.5, 0.5, x_shape[1])}

    def forward(self, x, weight, bias):
        centred = x - x.mean(axis=0)
        deviation = np.sqrt((centred**2).mean(axis=0) + self.eps)
        z = centred / deviation
        return weight * z + bias, (z, deviation, weight)

    def backward(self, dy, cache):
        z, deviation, weight = cache
        dz = weight * dy
        count = len(dy) - 1
        dx = (dz - dz.mean(axis=0) - z * (dz * z).sum(axis=0) / count) / deviation
        return dx, {"weight": (dy * z).sum(axis=0), "bias": dy.sum(axis=0)}
