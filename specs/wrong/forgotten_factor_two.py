"""A squared error whose derivative is that of half of it.

wrong   slope = error
right   slope = 2 * error
"""

from gradcheck import Loss


class ForgottenFactorTwo(Loss):
    """l = (prediction - target)²."""

    def forward(self, prediction, target):
        error = prediction - target
        return error * error, error

    def backward(self, upstream, cache):
        error = cache
        slope = error
        return upstream * slope
