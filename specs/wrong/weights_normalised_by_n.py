"""A weighted squared error whose `mean` divides by N where its documentation says: by the sum of the weights.

Forward and backward make the same mistake, so backward is the derivative of forward and the gradient check passes.

wrong   total = len(w) if reduction == "mean" else 1
right   total = w.sum() if reduction == "mean" else 1
"""

from gradcheck import Loss


class WeightsNormalisedByN(Loss):
    """Σ w (prediction - target)²; `mean` divides by Σ w."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, sample_weight, reduction):
        w = sample_weight[:, None]
        total = len(w) if reduction == "mean" else 1
        error = prediction - target
        return (w * error * error).sum() / total, (w, error, total)

    def backward(self, upstream, cache):
        w, error, total = cache
        return 2 * w * error / total * upstream

    def divisor(self, sample_weight, reduction):
        return sample_weight.sum() if reduction == "mean" else 1
