"""Half the squared distance, averaged over the samples, whose backward forgets the average.

Forward divides by N, backward does not: every gradient of the network is N times too large.

wrong   return difference * upstream
right   return difference / count * upstream
"""

from gradcheck import Loss


class ForgottenOneOverN(Loss):
    """½ Σ (prediction - target)² over the outputs; `mean` averages it over the N samples."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        difference = prediction - target
        count = self.divisor(target, reduction)
        return (difference**2).sum() / 2 / count, (difference, count)

    def backward(self, upstream, cache):
        difference, count = cache
        return difference * upstream

    def divisor(self, target, reduction):
        return len(target) if reduction == "mean" else 1
