"""A linear layer whose weight gradient comes from the last sample alone.

The loop over the batch assigns where it should accumulate, so each sample overwrites the one before it.

wrong   dW = np.outer(x_n, dy_n)
right   dW += np.outer(x_n, dy_n)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class LastSampleOnly(Layer):
    """y = x W."""

    out_features: int

    def init(self, rng, x_shape):
        in_features = x_shape[-1]
        return {"weight": rng.standard_normal((in_features, self.out_features)) / np.sqrt(in_features)}

    def forward(self, x, weight):
        return x @ weight, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dW = np.zeros_like(weight)
        for x_n, dy_n in zip(x, dy, strict=True):
            dW = np.outer(x_n, dy_n)
        return dy @ weight.T, {"weight": dW}
