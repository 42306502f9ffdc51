"""A leaky ReLU that works in place: forward overwrites its input.

wrong   y = x
right   y = x.copy()
"""

from gradcheck import Layer


class InputMutated(Layer):
    """y = x where x > 0, else 0.1 x."""

    def forward(self, x):
        negative = x.real < 0
        y = x
        y[negative] *= 0.1
        return y, negative

    def backward(self, dy, cache):
        dx = dy.copy()
        dx[cache] *= 0.1
        return dx, {}
