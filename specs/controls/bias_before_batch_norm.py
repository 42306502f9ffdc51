"""A bias in front of a batch norm: its true gradient is zero, and rounding is all there is of it."""

import numpy as np

from gradcheck import Layer


class BiasBeforeBatchNorm(Layer):
    """y = (x - μ) / s over the batch."""

    def forward(self, x):
        mean, deviation = x.mean(axis=0), np.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=0) + 1e-5)
        y = (x - mean) / deviation
        return y, (y, deviation)

    def backward(self, dy, cache):
        y, deviation = cache
        return (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / deviation, {}
