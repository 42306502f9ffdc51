"""Sines and cosines of every place of a sequence (Vaswani et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._angles import angles
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class PositionalEncoding(Layer):
    """Sines and cosines of every place of a sequence, added to it (Vaswani et al. 2017, Attention Is All You Need).

    forward     y  = x + P                          x, y (N, T, D)
                P[t, 2k] = sin φ,  P[t, 2k+1] = cos φ       P (T, D)    φ = t base^(−2k/D)

    backward    dx = dy                             dx   (N, T, D)

    verified    obvious loops
    """

    base: Annotated[float, Meta(gt=0)] = 10000.0

    def check(self, *x_shapes: Shape) -> None:
        """A sequence."""
        if len(x_shapes[0]) != 3:
            raise ShapeError(f"needs a sequence (N, T, features), got {x_shapes[0]}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x + P."""
        _, steps, features = x.shape
        phi = angles(steps, features, self.base)
        P = np.stack([np.sin(phi), np.cos(phi)], axis=2).reshape(steps, -1)[:, :features]
        return x + P.astype(x.real.dtype), None

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy."""
        return dy, {}
