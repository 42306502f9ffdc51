"""A scale whose backward is told that it is frozen, and does not heed it.

wrong   dscale = {"scale": (dy * x).sum(axis=0)}
right   dscale = {} if "scale" in frozen else {"scale": (dy * x).sum(axis=0)}
"""

from gradcheck import Layer


class FrozenAllTheSame(Layer):
    """y = x ⊙ scale."""

    def init(self, rng, x_shape):
        return {"scale": rng.uniform(0.5, 2, x_shape[-1])}

    def forward(self, x, scale):
        return x * scale, (x, scale)

    def backward(self, dy, cache, frozen=frozenset()):
        x, scale = cache
        dscale = {"scale": (dy * x).sum(axis=0)}
        return dy * scale, dscale
