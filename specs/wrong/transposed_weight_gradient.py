"""A linear layer whose weight gradient is transposed.

W[i, j] leads from input i to output j, so its gradient is Σ x[i] dy[j], with the input's index first.

wrong   dW = dy.T @ x
right   dW = x.T @ dy
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class TransposedWeightGradient(Layer):
    """y = x W."""

    out_features: int

    def init(self, rng, x_shape):
        in_features = x_shape[-1]
        return {"weight": rng.standard_normal((in_features, self.out_features)) / np.sqrt(in_features)}

    def forward(self, x, weight):
        return x @ weight, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dW = dy.T @ x
        return dy @ weight.T, {"weight": dW}
