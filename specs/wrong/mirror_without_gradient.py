"""A reflecting margin that hands nothing back to the pixels that it mirrors.

A pixel that stands in the margin, too, gets the gradients of both places.

wrong   places = np.arange(margin, padded - margin)
right   places = np.arange(padded)
"""

import numpy as np

from gradcheck import Layer


class MirrorWithoutGradient(Layer):
    """y = x with two entries more at both ends of the last axis, mirrored at the first and the last: cb|abcd|cb."""

    def forward(self, x):
        mirrored = np.pad(np.arange(x.shape[-1]), 2, mode="reflect")
        return x[..., mirrored], (x.shape, mirrored)

    def backward(self, dy, cache):
        shape, mirrored = cache
        margin, padded = 2, len(mirrored)
        dx = np.zeros(shape)
        places = np.arange(margin, padded - margin)
        for place in places:
            dx[..., mirrored[place]] += dy[..., place]
        return dx, {}
