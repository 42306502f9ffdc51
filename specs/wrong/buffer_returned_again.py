"""A scale that writes its gradient into one array, and returns that array in every call.

wrong   np.sum(dy * x, axis=0, out=total)
right   total = (dy * x).sum(axis=0)
"""

from typing import ClassVar

import numpy as np

from gradcheck import Layer


class BufferReturnedAgain(Layer):
    """y = x ⊙ scale."""

    buffers: ClassVar = {}

    def init(self, rng, x_shape):
        return {"scale": rng.uniform(0.5, 2, x_shape[-1])}

    def forward(self, x, scale):
        return x * scale, (x, scale)

    def backward(self, dy, cache):
        x, scale = cache
        total = self.buffers.setdefault(scale.dtype, np.empty_like(scale))
        np.sum(dy * x, axis=0, out=total)
        return dy * scale, {"scale": total}
