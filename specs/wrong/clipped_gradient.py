"""An identity that clips the gradient on its way back, far above the gradients of this spec.

wrong   dx = np.clip(dy, -10, 10)
right   dx = dy.copy()
"""

import numpy as np

from gradcheck import Layer


class ClippedGradient(Layer):
    """y = x."""

    def forward(self, x):
        return x.copy(), None

    def backward(self, dy, cache):
        dx = np.clip(dy, -10, 10)
        return dx, {}
