"""Normalisation of each channel over the batch."""

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
    along_channels,
    drawn_affine,
    normalised,
    normalised_backward,
)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Each channel with mean 0 and variance 1 over the batch, then an affine map of it.

    forward     y  = w z + b,  z = (x − μ) / s        x, y, z (N, C, ...)   weight w (C,)   bias b (C,)
                s  = √(σ² + ε)                        μ, σ², s (C,)   mean and variance over every axis but 1

    backward    dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s       dx, dz (N, C, ...)   dz = w dy,  ⟨ ⟩ the mean over the same axes
                dw = Σ dy z                           dw (C,)   summed over every axis but 1
                db = Σ dy                             db (C,)

    verified    torch.nn.functional.batch_norm; obvious loops

    With `training: false` μ and σ² are the constants running_mean and running_var, (C,), drawn once, and dx = dz / s.
    ε is `eps`; without `affine` there are neither weight nor bias. Weight and bias are drawn around PyTorch's 1 and 0:
    a factor 1 that is forgotten would never be missed.
    """

    eps: Annotated[float, Meta(gt=0)] = 1e-5
    affine: bool = True
    bias: bool = True
    training: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """Channels, and more than one number in each: a single one has no variance."""
        shape = x_shapes[0]
        if len(shape) < 2:
            raise ShapeError(f"needs an input (N, C, ...), got {shape}")
        if self.training and math.prod(shape) == shape[1]:
            raise ShapeError(f"needs more than one number in each channel (N, C, ...), got {shape}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (C,) around 1 and bias (C,) around 0."""
        return drawn_affine(rng, x_shapes[0][1:2], self.bias) if self.affine else {}

    def constants(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Without training: running_mean (C,), standard normal, and running_var (C,), uniform between 0.5 and 1.5."""
        if self.training:
            return {}
        channels = x_shapes[0][1]
        return {"running_mean": rng.standard_normal(channels), "running_var": rng.uniform(0.5, 1.5, channels)}

    def forward(
        self,
        x: Array,
        *,
        weight: Array | None = None,
        bias: Array | None = None,
        running_mean: Array | None = None,
        running_var: Array | None = None,
    ) -> tuple[Array, Any]:
        """y = w z + b, z = (x − μ) / s."""
        if running_mean is None or running_var is None:
            z, s = normalised(x, _others(x), self.eps)
        else:
            s = np.sqrt(along_channels(running_var, x.ndim) + self.eps)
            z = (x - along_channels(running_mean, x.ndim)) / s
        return affine_by_channel(z, weight, bias), (z, s, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s; dz / s without training."""
        z, s, weight = cache
        dz, gradients = affine_by_channel_backward(dy, z, weight, self.bias)
        dx = normalised_backward(dz, z, s, _others(dy)) if self.training else dz / s
        return dx, gradients


def _others(x: Array) -> tuple[int, ...]:
    """Every axis but 1."""
    return (0, *range(2, x.ndim))
