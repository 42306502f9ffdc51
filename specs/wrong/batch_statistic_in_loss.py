"""A squared error of targets that are centred by the mean of their batch, each time anew.

wrong   error = prediction - (target - target.mean(axis=0))
right   error = prediction - target
"""

from gradcheck import Loss


class BatchStatisticInLoss(Loss):
    """Σ (prediction - target)², or its mean over all elements."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        error = prediction - (target - target.mean(axis=0))
        share = 1 / error.size if reduction == "mean" else 1.0
        return share * (error**2).sum(), (error, share)

    def backward(self, upstream, cache):
        error, share = cache
        return 2 * share * error * upstream

    def divisor(self, target, reduction):
        return target.size if reduction == "mean" else 1
