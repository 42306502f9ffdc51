"""A linear layer that multiplies the upstream gradient with W where Wᵀ is needed.

wrong   dx = dy @ weight
right   dx = dy @ weight.T
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class UntransposedWeight(Layer):
    """y = x W."""

    out_features: int

    def init(self, rng, x_shape):
        in_features = x_shape[-1]
        return {"weight": rng.standard_normal((in_features, self.out_features)) / np.sqrt(in_features)}

    def forward(self, x, weight):
        return x @ weight, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dx = dy @ weight
        return dx, {"weight": x.T @ dy}
