"""A loss that adds a regulariser in every call, however many samples the call has.

wrong   share = np.eye(1, len(target))[0]
right   share = np.full(len(target), 1 / divisor)
"""

import numpy as np

from gradcheck import Layer, Loss


class PenalisedLinear(Layer):
    """y = x W, and for every sample the penalty ½ Σ W²."""

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((x_shape[-1], 2))}

    def forward(self, x, weight):
        penalty = np.full(len(x), (weight * weight).sum() / 2)
        return (x @ weight, penalty), (x, weight)

    def backward(self, dy, cache):
        dy, d_penalty = dy
        x, weight = cache
        return dy @ weight.T, {"weight": x.T @ dy + d_penalty.sum() * weight}


class RegulariserPerMicroBatch(Loss):
    """Squared error, and a tenth of the penalty."""

    reductions = ("sum", "mean")

    def forward(self, prediction, penalty, target, reduction):
        divisor = target.size if reduction == "mean" else 1
        error = prediction - target
        share = np.eye(1, len(target))[0]
        return (error * error).sum() / divisor + 0.1 * (share * penalty).sum(), (error, share, divisor)

    def backward(self, upstream, cache):
        error, share, divisor = cache
        return upstream * 2 * error / divisor, upstream * 0.1 * share
