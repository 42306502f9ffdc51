"""Normalisation of groups of channels (Wu & He 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class GroupNorm(Layer):
    """Normalisation of groups of channels, sample by sample (Wu & He 2018, Group Normalization).

    forward     y  = w z + b                    x, y (N, C, ...)    weight w (C,)   bias b (C,)
                z  = (x − μ) / σ                z (N, C, ...)       μ, σ (N, G)  mean and √(variance + ε) of the group

    backward    dx = (g − ḡ − z mean(g z)) / σ  dx (N, C, ...)      g = w dy;  ḡ and mean(g z) (N, G) over the group
                dw = Σ dy z                     dw (C,)             summed over N and all that follows C
                db = Σ dy                       db (C,)             likewise

    G = num_groups groups of C/G channels each, ε = eps. The variance is divided by the number of entries, not by one
    less. Without affine there is no w and no b. PyTorch starts with w = 1 and b = 0; here w is drawn uniformly from
    0.5 to 1.5 and b from −0.5 to 0.5, as equal numbers would hide that one took the place of another.
    """

    num_groups: Annotated[int, Meta(ge=1)]
    eps: Annotated[float, Meta(gt=0)] = 1e-5
    affine: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """Channels that the groups divide."""
        if len(x_shapes[0]) < 2:
            raise ShapeError(f"needs an input (N, C, ...), got {x_shapes[0]}")
        if x_shapes[0][1] % self.num_groups:
            raise ShapeError(f"needs channels divisible by num_groups={self.num_groups}, got {x_shapes[0][1]}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (C,) around 1 and bias (C,) around 0."""
        if not self.affine:
            return {}
        channels = x_shapes[0][1]
        return {"weight": rng.uniform(0.5, 1.5, channels), "bias": rng.uniform(-0.5, 0.5, channels)}

    def forward(self, x: Array, weight: Array | None = None, bias: Array | None = None) -> tuple[Array, Any]:
        """y = w z + b, z = (x − μ) / σ."""
        groups = self._groups(x)
        centred = groups - groups.mean(axis=2, keepdims=True)
        sigma = np.sqrt((centred**2).mean(axis=2, keepdims=True) + self.eps)
        z = (centred / sigma).reshape(x.shape)
        y = z if weight is None else _by_channel(weight, x) * z + _by_channel(bias, x)
        return y, (z, sigma, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = (g − ḡ − z mean(g z)) / σ; dw = Σ dy z, db = Σ dy."""
        z, sigma, weight = cache
        g = self._groups(dy if weight is None else _by_channel(weight, dy) * dy)
        z_groups = self._groups(z)
        mean_gz = (g * z_groups).mean(axis=2, keepdims=True)
        dx = ((g - g.mean(axis=2, keepdims=True) - z_groups * mean_gz) / sigma).reshape(dy.shape)
        if weight is None:
            return dx, {}
        others = (0, *range(2, dy.ndim))
        return dx, {"weight": (dy * z).sum(axis=others), "bias": dy.sum(axis=others)}

    def _groups(self, x: Array) -> Array:
        """(N, G, entries of the group)."""
        return x.reshape(len(x), self.num_groups, -1)


def _by_channel(weight: Any, x: Array) -> Array:
    """w or b, so that axis 1 of x meets it."""
    shaped: Array = weight.reshape(-1, *[1] * (x.ndim - 2))
    return shaped
