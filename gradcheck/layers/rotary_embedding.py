"""Pairs of features turned by an angle that grows along the sequence (Su et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._angles import angles
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class RotaryEmbedding(Layer):
    """Pairs of features turned by an angle that grows along the sequence (Su et al. 2021, RoFormer).

    forward     u′ = u cos φ − v sin φ          x (N, ..., T, D)   (u, v) the pairs of features, k from 0 to D/2 − 1
                v′ = u sin φ + v cos φ          y (N, ..., T, D)   φ = t base^(−2k/D)

    backward    du = du′ cos φ + dv′ sin φ      dx (N, ..., T, D)  turned back
                dv = −du′ sin φ + dv′ cos φ

    verified    a composition with torch.polar; obvious loops

    A pair is the features 2k and 2k + 1; without interleaved, k and k + D/2, as GPT-NeoX and Llama have it.
    """

    base: Annotated[float, Meta(gt=0)] = 10000.0
    interleaved: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """A sequence of an even number of features."""
        shape = x_shapes[0]
        if len(shape) < 3 or shape[-1] % 2:
            raise ShapeError(f"needs a sequence (N, ..., T, features) with an even number of features, got {shape}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """(u′, v′) = (u cos φ − v sin φ, u sin φ + v cos φ)."""
        return self._turned(x, 1), None

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """(du, dv) = (du′ cos φ + dv′ sin φ, −du′ sin φ + dv′ cos φ)."""
        return self._turned(dy, -1), {}

    def _turned(self, x: Array, sign: int) -> Array:
        """The pairs turned by sign · φ."""
        steps, features = x.shape[-2:]
        phi = angles(steps, features, self.base)
        cos, sin = np.cos(phi).astype(x.real.dtype), sign * np.sin(phi).astype(x.real.dtype)
        half = features // 2
        first, second = (slice(0, None, 2), slice(1, None, 2)) if self.interleaved else (slice(half), slice(half, None))
        u, v = x[..., first], x[..., second]
        y = np.empty_like(x)
        y[..., first], y[..., second] = u * cos - v * sin, u * sin + v * cos
        return y
