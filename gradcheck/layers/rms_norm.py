"""Division by the root mean square (Zhang & Sennrich 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._normalised import drawn_affine

Count = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class RmsNorm(Layer):
    """Division by the root mean square of the last axes (Zhang & Sennrich 2019, Root Mean Square Layer Normalization).

    forward     y  = w z                        x, y (N, ..., S)    weight w (S)    S one axis or several, the last
                z  = x / r                      z (N, ..., S)       r (N, ...)      r = √(mean x² + ε) over S

    backward    dx = (g − z mean(g z)) / r      dx (N, ..., S)      g = w dy
                dw = Σ dy z                     dw (S)              summed over every axis before S

    verified    torch.nn.functional.rms_norm; obvious loops

    S = normalized_shape, by default the last axis; ε = eps. PyTorch's default for it, null, is the rounding unit of the
    precision, which would make a float32 forward another function than a float64 one. Without elementwise_affine
    there is no w. PyTorch starts with w = 1; here it is drawn uniformly from 0.5 to 1.5, as equal numbers would hide
    that one took the place of another.
    """

    normalized_shape: Count | Annotated[tuple[Count, ...], Meta(min_length=1)] | None = None
    eps: Annotated[float, Meta(gt=0)] = 1e-6
    elementwise_affine: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """An input whose last axes are those to be normalised."""
        shape = x_shapes[0]
        if len(shape) < 2:
            raise ShapeError(f"needs an input with an axis behind the batch axis, got {shape}")
        tail = self._tail(shape)
        if len(tail) >= len(shape) or shape[-len(tail) :] != tail:
            raise ShapeError(f"needs an input (N, ..., {', '.join(map(str, tail))}), got {shape}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (S), uniform from 0.5 to 1.5."""
        return drawn_affine(rng, self._tail(x_shapes[0]), bias=False) if self.elementwise_affine else {}

    def forward(self, x: Array, *, weight: Array | None = None) -> tuple[Array, Any]:
        """y = w z, z = x / r."""
        rows = self._rows(x, x.shape)
        r = np.sqrt((rows**2).mean(axis=-1, keepdims=True) + self.eps)
        z = (rows / r).reshape(x.shape)
        return z if weight is None else weight * z, (z, r, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = (g − z mean(g z)) / r, dw = Σ dy z."""
        z, r, weight = cache
        g = self._rows(dy if weight is None else weight * dy, dy.shape)
        z_rows = self._rows(z, dy.shape)
        dx = ((g - z_rows * (g * z_rows).mean(axis=-1, keepdims=True)) / r).reshape(dy.shape)
        if weight is None:
            return dx, {}
        return dx, {"weight": (dy * z).reshape(-1, *weight.shape).sum(axis=0)}

    def _tail(self, shape: Shape) -> Shape:
        """S."""
        given = self.normalized_shape
        return given if isinstance(given, tuple) else (shape[-1] if given is None else given,)

    def _rows(self, x: Array, shape: Shape) -> Array:
        """S as one axis."""
        tail = self._tail(shape)
        return x.reshape(*shape[: -len(tail)], math.prod(tail))
