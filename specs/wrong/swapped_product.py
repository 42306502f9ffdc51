"""A product of two inputs that gives each of them its own value where it needs the other's.

wrong   return (dy * a, dy * b), {}
right   return (dy * b, dy * a), {}
"""

from gradcheck import Layer


class SwappedProduct(Layer):
    """y = a ⊙ b."""

    def forward(self, a, b):
        return a * b, (a, b)

    def backward(self, dy, cache):
        a, b = cache
        return (dy * a, dy * b), {}
