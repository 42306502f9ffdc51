"""A ReLU whose backward clears the upstream gradient in place, where its input was negative.

wrong   dx = dy
right   dx = dy.copy()
"""

import numpy as np

from gradcheck import Layer


class UpstreamMutated(Layer):
    """y = x where x > 0, else 0."""

    def forward(self, x):
        return np.where(x.real > 0, x, 0), x.real <= 0

    def backward(self, dy, cache):
        dx = dy
        dx[cache] = 0
        return dx, {}
