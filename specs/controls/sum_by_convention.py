"""Half the sum of the squares over everything, with no division: a convention, not a mistake."""

from gradcheck import Loss


class SumByConvention(Loss):
    """½ Σ (p - t)²."""

    reductions = ("sum",)

    def forward(self, prediction, target, reduction):
        difference = prediction - target
        return (difference**2).sum() / 2, difference

    def backward(self, upstream, difference):
        return upstream * difference
