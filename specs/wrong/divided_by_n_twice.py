"""A linear layer that averages its weight gradient over a batch that the loss has averaged already.

The 1/N belongs to the loss, whose gradient carries it down to every layer; a layer only sums.

wrong   dW = x.T @ dy / len(x)
right   dW = x.T @ dy
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class DividedByNTwice(Layer):
    """y = x W."""

    out_features: int

    def init(self, rng, x_shape):
        in_features = x_shape[-1]
        return {"weight": rng.standard_normal((in_features, self.out_features)) / np.sqrt(in_features)}

    def forward(self, x, weight):
        return x @ weight, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dW = x.T @ dy / len(x)
        return dy @ weight.T, {"weight": dW}
