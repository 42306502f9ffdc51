"""A weighted mean that divides by the number of the weights where it promises their sum.

wrong   total = len(sample_weight)
right   total = sample_weight.sum()
"""

from gradcheck import Loss


class WeightsByNumber(Loss):
    """Σ w (prediction - target)², or that over Σ w."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, sample_weight, reduction):
        total = len(sample_weight)
        share = sample_weight[:, None] / (total if reduction == "mean" else 1)
        error = prediction - target
        return (share * error**2).sum(), (error, share)

    def backward(self, upstream, cache):
        error, share = cache
        return 2 * share * error * upstream

    def divisor(self, sample_weight, reduction):
        return sample_weight.sum() if reduction == "mean" else 1
