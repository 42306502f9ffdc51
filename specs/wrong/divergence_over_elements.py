"""A divergence averaged over every number, where its documentation says: over the samples.

Forward and backward make the same mistake, so backward is the derivative of forward and the gradient check passes.

wrong   share = 1 / target.size if reduction == "mean" else 1
right   share = 1 / len(target) if reduction == "mean" else 1
"""

import numpy as np

from gradcheck import Loss


class DivergenceOverElements(Loss):
    """Σ t (log t - p) of log-probabilities p; `mean` is the mean over the samples."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        share = 1 / target.size if reduction == "mean" else 1
        return (target * (np.log(target) - prediction)).sum() * share, (target, share)

    def backward(self, upstream, cache):
        target, share = cache
        return -target * share * upstream

    def divisor(self, target, reduction):
        return len(target) if reduction == "mean" else 1
