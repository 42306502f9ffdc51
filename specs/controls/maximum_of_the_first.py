"""A maximum that gives the whole gradient to the first of several equal numbers."""

import numpy as np

from gradcheck import Layer


class MaximumOfTheFirst(Layer):
    """y = max x, along the last axis."""

    def forward(self, x):
        best = np.argmax(x.real, axis=1)
        rows = np.arange(len(x))
        return x[rows, best][:, None], (best, x.shape)

    def backward(self, dy, cache):
        best, shape = cache
        dx = np.zeros(shape)
        dx[np.arange(shape[0]), best] = dy[:, 0]
        return dx, {}
