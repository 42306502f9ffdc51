"""An absolute value that says 0 at exactly 0, between -1 and 1."""

import numpy as np

from gradcheck import Layer


class AbsoluteFlatAtZero(Layer):
    """y = |x|."""

    def forward(self, x):
        y = np.where(x.real >= 0, x, -x)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return dy * np.sign(x), {}
