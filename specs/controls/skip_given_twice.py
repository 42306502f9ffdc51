"""A skip connection whose two gradients are one and the same array."""

from gradcheck import Layer


class SkipGivenTwice(Layer):
    """y = a + b."""

    def forward(self, a, b):
        return a + b, None

    def backward(self, dy, cache):
        return (dy, dy), {}
