"""A square that keeps its input on the class: backward differentiates at the batch that forward has seen last.

wrong   x = CachedBatch.seen
right   x = cache
"""

from gradcheck import Layer


class CachedBatch(Layer):
    """y = x²."""

    def forward(self, x):
        CachedBatch.seen = x
        return x**2, x

    def backward(self, dy, cache):
        x = CachedBatch.seen
        return 2 * x * dy, {}
