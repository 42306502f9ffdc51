"""A squared error whose `mean` divides by the samples where its documentation says: by every element.

Forward and backward make the same mistake, so backward is the derivative of forward and the gradient check passes.

wrong   count = len(target) if reduction == "mean" else 1
right   count = target.size if reduction == "mean" else 1
"""

from gradcheck import Loss


class DivisorNInsteadOfElements(Loss):
    """Σ (prediction - target)²; `mean` is the mean over every element, N samples × outputs."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        difference = prediction - target
        count = len(target) if reduction == "mean" else 1
        return (difference**2).sum() / count, (difference, count)

    def backward(self, upstream, cache):
        difference, count = cache
        return 2 * difference / count * upstream

    def divisor(self, target, reduction):
        elements = target.size
        return elements if reduction == "mean" else 1
