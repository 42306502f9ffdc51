"""A cosine distance whose backward forgets that lengths change.

wrong   du, dv = v, u
right   du, dv = v - cosine * u, u - cosine * v
"""

import numpy as np

from gradcheck import Loss


class NormHeldConstant(Loss):
    """l = 1 - a·b / (‖a‖ ‖b‖), one a sample."""

    def forward(self, first, second):
        a, b = (np.sqrt((x * x).sum(axis=1, keepdims=True)) for x in (first, second))
        cosine = (first * second).sum(axis=1, keepdims=True) / (a * b)
        return 1 - cosine[:, 0], (first / a, second / b, a, b, cosine)

    def backward(self, upstream, cache):
        u, v, a, b, cosine = cache
        du, dv = v, u
        return -upstream[:, None] * du / a, -upstream[:, None] * dv / b
