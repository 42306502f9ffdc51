"""A bias whose gradient is added to a buffer that nobody clears, so that it grows from call to call.

wrong   total += dy.sum(axis=0)
right   total = dy.sum(axis=0)
"""

from typing import ClassVar

import numpy as np

from gradcheck import Layer


class BufferAddedTwice(Layer):
    """y = x + bias."""

    buffers: ClassVar = {}

    def init(self, rng, x_shape):
        return {"bias": rng.standard_normal(x_shape[1:])}

    def forward(self, x, bias):
        return x + bias, None

    def backward(self, dy, cache):
        total = self.buffers.setdefault(dy.dtype, np.zeros(dy.shape[1:], dy.dtype))
        total += dy.sum(axis=0)
        return dy, {"bias": total.copy()}
