"""A random part of the input set to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class Dropout(Layer):
    """A random part of the input set to zero, and the rest enlarged so that the mean stays.

    forward     y  = m x / (1 − p)      x, y (N, ...)   m (N, ...) a constant: 0 with probability p, else 1

    backward    dx = m dy / (1 − p)     dx   (N, ...)

    verified    a composition with torch.where; obvious loops

    The mask m is drawn once and belongs to the samples: each keeps its own wherever it goes. With p = 1 y is 0. With
    `training: false` there is no mask, and y = x.
    """

    p: Annotated[float, Meta(ge=0, le=1)] = 0.5
    training: bool = True

    per_sample = ("mask",)

    def constants(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """The mask (N, ...), False with probability p; none without training."""
        return {"mask": rng.random(x_shapes[0]) >= self.p} if self.training else {}

    def forward(self, x: Array, *, mask: Array | None = None) -> tuple[Array, Any]:
        """y = m x / (1 − p)."""
        return self._masked(x, mask), mask

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = m dy / (1 − p)."""
        return self._masked(dy, cache), {}

    def _masked(self, x: Array, mask: Array | None) -> Array:
        if mask is None:
            return x
        return x * mask / (1 - self.p if self.p < 1 else 1)
