"""A mean over time whose gradient is that of a sum.

Each of T steps has the share 1/T of the mean.

wrong   dx = np.repeat(dy[:, None], steps, axis=1)
right   dx = np.repeat(dy[:, None], steps, axis=1) / steps
"""

import numpy as np

from gradcheck import Layer


class MeanNotDivided(Layer):
    """y[n, f] = the mean of x[n, t, f] over all steps t."""

    def forward(self, x):
        return x.mean(axis=1), x.shape[1]

    def backward(self, dy, cache):
        steps = cache
        dx = np.repeat(dy[:, None], steps, axis=1)
        return dx, {}
