"""tanh whose backward hands the upstream gradient on as it came.

wrong   dx = dy
right   dx = dy * (1 - y**2)
"""

import numpy as np

from gradcheck import Layer


class TanhWithoutDerivative(Layer):
    """y = tanh(x)."""

    def forward(self, x):
        y = np.tanh(x)
        return y, y

    def backward(self, dy, cache):
        y = cache
        dx = dy
        return dx, {}
