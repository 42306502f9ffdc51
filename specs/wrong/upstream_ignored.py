"""A squared error that takes its upstream gradient to be 1.

wrong   return 2 * share * error
right   return 2 * share * error * upstream
"""

from gradcheck import Loss


class UpstreamIgnored(Loss):
    """Σ (prediction - target)², or its mean over all elements."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        share = 1 / prediction.size if reduction == "mean" else 1.0
        error = prediction - target
        return share * (error**2).sum(), (error, share)

    def backward(self, upstream, cache):
        error, share = cache
        return 2 * share * error

    def divisor(self, target, reduction):
        return target.size if reduction == "mean" else 1
