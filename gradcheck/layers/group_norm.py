"""Normalisation of groups of channels (Wu & He 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._normalised import (
    affine_by_channel,
    affine_by_channel_backward,
    drawn_affine,
    normalised,
    normalised_backward,
)


@dataclass(frozen=True)
class GroupNorm(Layer):
    """Normalisation of groups of channels, sample by sample (Wu & He 2018, Group Normalization).

    forward     y  = w z + b                           x, y (N, C, ...)   weight w (C,)   bias b (C,)
                z  = (x − μ) / s,  s = √(σ² + ε)       z (N, C, ...)      μ, σ² (N, G) mean and variance of each group

    backward    dz = w dy                              dz (N, C, ...)
                dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s        dx (N, C, ...)     ⟨ ⟩ (N, G) the mean over the group
                dw = Σ dy z                            dw (C,)            summed over every axis but 1
                db = Σ dy                              db (C,)            likewise

    verified    torch.nn.functional.group_norm; obvious loops

    G = num_groups groups of C/G channels each, ε = eps. The variance is divided by the number of entries, not by one
    less. Without affine there is no w and no b. They are drawn uniformly around PyTorch's 1 and 0, by ±1/2.
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
        return drawn_affine(rng, x_shapes[0][1:2], bias=True) if self.affine else {}

    def forward(self, x: Array, *, weight: Array | None = None, bias: Array | None = None) -> tuple[Array, Any]:
        """y = w z + b, z = (x − μ) / s."""
        z, s = normalised(self._groups(x), (2,), self.eps)
        return affine_by_channel(z.reshape(x.shape), weight, bias), (z, s, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s; dw = Σ dy z, db = Σ dy."""
        z, s, weight = cache
        dz, gradients = affine_by_channel_backward(dy, z.reshape(dy.shape), weight, bias=True)
        return normalised_backward(self._groups(dz), z, s, (2,)).reshape(dy.shape), gradients

    def _groups(self, x: Array) -> Array:
        """(N, G, entries of the group)."""
        return x.reshape(len(x), self.num_groups, math.prod(x.shape[1:]) // self.num_groups)
