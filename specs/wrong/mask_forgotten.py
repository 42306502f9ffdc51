"""Dropout that forgets its mask on the way back: units that were switched off get a gradient all the same.

wrong   dx = dy
right   dx = dy * mask
"""

from dataclasses import dataclass
from typing import ClassVar

from gradcheck import Layer


@dataclass(frozen=True)
class MaskForgotten(Layer):
    """y = x ⊙ mask, with a mask of 0 and 1/keep that is drawn once."""

    per_sample: ClassVar = ("mask",)
    keep: float = 0.5

    def constants(self, rng, x_shape):
        return {"mask": (rng.random(x_shape) < self.keep) / self.keep}

    def forward(self, x, mask):
        return x * mask, mask

    def backward(self, dy, cache):
        mask = cache
        dx = dy
        return dx, {}
