"""A squared error as data-parallel training has it: the mean over two ranks of the means over their samples.

wrong   share = 1 / (ranks.max() + 1) / np.bincount(ranks)[ranks]
right   share = np.full(len(target), 1 / len(target))
"""

import numpy as np

from gradcheck import Loss


class AveragedOverUnevenRanks(Loss):
    """Σ (prediction - target)² over all samples, or its mean; of three samples two are on the first rank."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        ranks = 3 * np.arange(len(target)) // (2 * len(target))
        share = 1 / (ranks.max() + 1) / np.bincount(ranks)[ranks]
        if reduction == "sum":
            share = np.ones(len(target))
        error = prediction - target
        return (share[:, None] * error**2).sum(), (error, share)

    def backward(self, upstream, cache):
        error, share = cache
        return upstream * 2 * share[:, None] * error

    def divisor(self, target, reduction):
        return len(target) if reduction == "mean" else 1
