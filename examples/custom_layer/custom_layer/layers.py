"""A swish whose steepness is learned, and a scale for each feature.

CUSTOM_LAYER_BUGS=swish,scale in the environment switches on a mistake in one backward or the other.
"""

import os

import numpy as np

from gradcheck import Layer


def _has_bug(name):
    return name in os.environ.get("CUSTOM_LAYER_BUGS", "").split(",")


class LearnedSwish(Layer):
    """Sigmoid-weighted linear unit with a learned steepness (Ramachandran et al. 2017, the Swish).

    forward     y  = x s, s = 1 / (1 + e^−βx)           x (N, F)   β (F,)   y (N, F)

    backward    dx = dy (s + β x s (1 − s))
                dβ = Σ dy x² s (1 − s)                  summed over the batch
    """

    def init(self, rng, x_shape):
        return {"beta": 1 + 0.5 * rng.standard_normal(x_shape[1:])}

    def forward(self, x, beta):
        s = 1 / (1 + np.exp(-beta * x))
        return x * s, (x, beta, s)

    def backward(self, dy, cache):
        x, beta, s = cache
        slope = s * (1 - s)
        inner = x * slope if _has_bug("swish") else beta * x * slope
        dx = dy * (s + inner)
        return dx, {"beta": (dy * x**2 * slope).sum(axis=0)}


class FeatureScale(Layer):
    """A learned scale for each feature.

    forward     y  = g x                                x (N, F)   g (F,)   y (N, F)

    backward    dx = dy g
                dg = Σ dy x                             summed over the batch
    """

    def init(self, rng, x_shape):
        return {"scale": rng.standard_normal(x_shape[1:])}

    def forward(self, x, scale):
        return x * scale, (x, scale)

    def backward(self, dy, cache):
        x, scale = cache
        total = np.mean if _has_bug("scale") else np.sum
        return dy * scale, {"scale": total(dy * x, axis=0)}
