"""A maximum that gives the whole gradient to the last of several equal numbers."""

import numpy as np

from gradcheck import Layer


class MaximumOfTheLast(Layer):
    """y = max x, along the last axis."""

    def forward(self, x):
        best = x.shape[1] - 1 - np.argmax(x.real[:, ::-1], axis=1)
        rows = np.arange(len(x))
        return x[rows, best][:, None], (best, x.shape)

    def backward(self, dy, cache):
        best, shape = cache
        dx = np.zeros(shape)
        dx[np.arange(shape[0]), best] = dy[:, 0]
        return dx, {}
