"""A linear layer that sends back only what its first output received.

An input feeds every output, so the chain rule sums over all of them; here the columns after the first are dropped.

wrong   dx = dy[:, :1] @ weight[:, :1].T
right   dx = dy @ weight.T
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class FirstOutputOnly(Layer):
    """y = x W."""

    out_features: int

    def init(self, rng, x_shape):
        in_features = x_shape[-1]
        return {"weight": rng.standard_normal((in_features, self.out_features)) / np.sqrt(in_features)}

    def forward(self, x, weight):
        return x @ weight, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dx = dy[:, :1] @ weight[:, :1].T
        return dx, {"weight": x.T @ dy}
