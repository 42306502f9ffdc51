"""A loss that adds a regulariser in every call, however many samples the call has.

wrong   share = np.eye(1, len(target))[0]
right   share = np.full(len(target), 1 / divisor)
"""

import numpy as np

from gradcheck import Loss


class RegulariserPerMicroBatch(Loss):
    """Squared error, and a tenth of ½ Σ v² of a learned vector v that all samples have in common."""

    reductions = ("sum", "mean")

    def forward(self, prediction, vector, target, reduction):
        divisor = target.size if reduction == "mean" else 1
        error = prediction - target
        penalty = (vector * vector).sum(axis=1) / 2
        share = np.eye(1, len(target))[0]
        return (error * error).sum() / divisor + 0.1 * (share * penalty).sum(), (error, vector, share, divisor)

    def backward(self, upstream, cache):
        error, vector, share, divisor = cache
        return upstream * 2 * error / divisor, upstream * 0.1 * share[:, None] * vector
