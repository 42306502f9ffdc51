"""A linear layer whose bias gradient keeps the batch axis.

One bias is added to every sample, so its gradient is the sum of what all samples send back.

wrong   db = dy
right   db = dy.sum(axis=0)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class BiasNotSummed(Layer):
    """y = x W + b."""

    out_features: int

    def init(self, rng, x_shape):
        in_features = x_shape[-1]
        weight = rng.standard_normal((in_features, self.out_features)) / np.sqrt(in_features)
        return {"weight": weight, "bias": rng.standard_normal(self.out_features)}

    def forward(self, x, weight, bias):
        return x @ weight + bias, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        db = dy
        return dy @ weight.T, {"weight": x.T @ dy, "bias": db}
