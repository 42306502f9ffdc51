"""A swish activation whose derivative is that of one factor alone.

The product x σ(x) has two factors that depend on x, and so two terms.

wrong   dx = dy * s
right   dx = dy * (s + x * s * (1 - s))
"""

import numpy as np

from gradcheck import Layer


class ProductRuleForgotten(Layer):
    """y = x σ(x)."""

    def forward(self, x):
        s = 1 / (1 + np.exp(-x))
        return x * s, (x, s)

    def backward(self, dy, cache):
        x, s = cache
        dx = dy * s
        return dx, {}
