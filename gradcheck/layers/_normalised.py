"""Numbers with mean 0 and variance 1 along some axes: what every normalisation does before its affine map.

forward     z  = (x − μ) / s,  s = √(σ² + ε)     x, z (N, ...)    μ, σ², s  mean and variance along the axes

backward    dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s      dx, dz (N, ...)  ⟨ ⟩ the mean along the axes

σ² = ⟨(x − μ)²⟩ is divided by the count, not by one less. Source: Ioffe & Szegedy 2015, Batch Normalization.
"""

from __future__ import annotations

import numpy as np

from gradcheck.layers._base import Array

Axes = tuple[int, ...]


def normalised(x: Array, axes: Axes, eps: float) -> tuple[Array, Array]:
    """z and s; the axes are kept in s with length 1."""
    d = x - x.mean(axis=axes, keepdims=True)
    s = np.sqrt((d * d).mean(axis=axes, keepdims=True) + eps)
    return d / s, s


def normalised_backward(dz: Array, z: Array, s: Array, axes: Axes) -> Array:
    """dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s."""
    dx: Array = (dz - dz.mean(axis=axes, keepdims=True) - z * (dz * z).mean(axis=axes, keepdims=True)) / s
    return dx


def drawn_affine(rng: np.random.Generator, shape: tuple[int, ...], bias: bool) -> dict[str, Array]:
    """Weight between 0.5 and 1.5, and bias between −0.5 and 0.5, uniform.

    Around PyTorch's 1 and 0, and not these themselves: a factor 1 that is forgotten would never be missed.
    """
    parameters = {"weight": rng.uniform(0.5, 1.5, shape)}
    if bias:
        parameters["bias"] = rng.uniform(-0.5, 0.5, shape)
    return parameters


def along_channels(array: Array, ndim: int) -> Array:
    """An array (C,) in a shape that is broadcast along axis 1 of (N, C, ...)."""
    return array.reshape(-1, *[1] * (ndim - 2))


def affine_by_channel(z: Array, weight: Array | None, bias: Array | None) -> Array:
    """y = w z + b, with w and b of shape (C,) for z (N, C, ...); without those that are None."""
    y = z if weight is None else along_channels(weight, z.ndim) * z
    return y if bias is None else y + along_channels(bias, z.ndim)


def affine_by_channel_backward(dy: Array, z: Array, weight: Array | None, bias: bool) -> tuple[Array, dict[str, Array]]:
    """dz = w dy, and dw = Σ dy z, db = Σ dy over every axis but 1, of those that there are."""
    if weight is None:
        return dy, {}
    others = (0, *range(2, dy.ndim))
    gradients = {"weight": (dy * z).sum(axis=others)}
    if bias:
        gradients["bias"] = dy.sum(axis=others)
    return along_channels(weight, dy.ndim) * dy, gradients
