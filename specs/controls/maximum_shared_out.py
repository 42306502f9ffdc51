"""A maximum that shares the gradient out among equal numbers: the shares add up to 1."""

import numpy as np

from gradcheck import Layer


class MaximumSharedOut(Layer):
    """y = max x, along the last axis."""

    def forward(self, x):
        best = x.real == x.real.max(axis=1, keepdims=True)
        first = np.argmax(best, axis=1)
        return x[np.arange(len(x)), first][:, None], best / best.sum(axis=1, keepdims=True)

    def backward(self, dy, share):
        return dy * share, {}
