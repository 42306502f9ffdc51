"""A leaky ReLU whose slope at 0 is 0, a slope that it has on neither side.

At a kink any slope between the two one-sided ones is a valid choice, here from negative_slope to 1. The comparisons
leave x = 0 to neither branch.

wrong   slope = np.where(x > 0, 1.0, np.where(x < 0, self.negative_slope, 0.0))
right   slope = np.where(x > 0, 1.0, self.negative_slope)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class ZeroSlopeAtKink(Layer):
    """y = x where x > 0, else negative_slope · x."""

    negative_slope: float = 0.2

    def forward(self, x):
        return np.where(x.real > 0, x, self.negative_slope * x), x

    def backward(self, dy, cache):
        x = cache
        slope = np.where(x > 0, 1.0, np.where(x < 0, self.negative_slope, 0.0))
        return dy * slope, {}

    def branches(self, x):
        """1 on the right, 0 on the left, -1 on the border: tells the checker where the kinks are."""
        return np.where(x.real == 0, -1, x.real > 0)
