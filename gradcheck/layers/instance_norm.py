"""Normalisation of each channel of each sample."""

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
class InstanceNorm(Layer):
    """Each channel of each sample with mean 0 and variance 1, then an affine map where there is one.

    forward     y  = w z + b,  z = (x − μ) / s        x, y, z (N, C, L, ...)   weight w (C,)   bias b (C,)
                s  = √(σ² + ε)                        μ, σ², s (N, C)   mean and variance over the axes from 2 on

    backward    dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s       dx, dz (N, C, L, ...)   dz = w dy,  ⟨ ⟩ the mean over these axes
                dw = Σ dy z                           dw (C,)   summed over every axis but 1
                db = Σ dy                             db (C,)

    verified    torch.nn.functional.instance_norm; obvious loops

    ε is `eps`. Weight and bias are there with `affine`, which PyTorch leaves out by default, and drawn around its 1 and
    0: a factor 1 that is forgotten would never be missed.
    """

    eps: Annotated[float, Meta(gt=0)] = 1e-5
    affine: bool = False
    bias: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """Channels, and more than one number in each of every sample: a single one has no variance."""
        shape = x_shapes[0]
        if len(shape) < 3:
            raise ShapeError(f"needs an input (N, C, L, ...), got {shape}")
        if math.prod(shape[2:]) == 1:
            raise ShapeError(f"needs more than one number in each channel of a sample (N, C, L, ...), got {shape}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (C,) around 1 and bias (C,) around 0, with `affine`."""
        return drawn_affine(rng, x_shapes[0][1:2], self.bias) if self.affine else {}

    def forward(self, x: Array, *, weight: Array | None = None, bias: Array | None = None) -> tuple[Array, Any]:
        """y = w z + b, z = (x − μ) / s."""
        z, s = normalised(x, tuple(range(2, x.ndim)), self.eps)
        return affine_by_channel(z, weight, bias), (z, s, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s."""
        z, s, weight = cache
        dz, gradients = affine_by_channel_backward(dy, z, weight, self.bias)
        return normalised_backward(dz, z, s, tuple(range(2, dy.ndim))), gradients
