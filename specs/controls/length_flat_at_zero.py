"""A length that says 0 for the vector 0, where any gradient of length 1 or less will do."""

import numpy as np

from gradcheck import Layer


class LengthFlatAtZero(Layer):
    """y = ‖x‖."""

    def forward(self, x):
        square = (x * x).sum(axis=1, keepdims=True)
        y = np.where(square == 0, 0, np.sqrt(np.where(square == 0, 1, square)))
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return np.divide(dy * x, y, out=np.zeros_like(x), where=y > 0), {}
