"""Bilinear map of two inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._several_inputs import two


@dataclass(frozen=True)
class Bilinear(Layer):
    """Bilinear map of the last axes of two inputs.

    forward     yₒ  = aᵀ Wₒ b + cₒ        a (N, ..., I)   b (N, ..., J)   weight W (O, I, J)   bias c (O,)
                                          y (N, ..., O)

    backward    da  = Σₒ dyₒ Wₒ b         da (N, ..., I)
                db  = Σₒ dyₒ Wₒᵀ a        db (N, ..., J)
                dWₒ = Σ dyₒ a bᵀ          dW (O, I, J)    summed over every leading axis
                dcₒ = Σ dyₒ               dc (O,)         summed over every leading axis

    verified    torch.nn.functional.bilinear; obvious loops

    Parameters are drawn uniformly from ±1/√I, PyTorch's default.
    """

    out_features: Annotated[int, Meta(ge=1)]
    bias: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """Two inputs that differ at most in the last axis, which is not that of the batch."""
        a, b = two(x_shapes)
        if len(a) < 2 or a[:-1] != b[:-1]:
            raise ShapeError(f"needs inputs (N, ..., I) and (N, ..., J), got {a} and {b}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (O, I, J) and bias (O,), uniform in ±1/√I."""
        I, J = x_shapes[0][-1], x_shapes[1][-1]  # noqa: E741 - the letters of the formula
        bound = 1 / math.sqrt(I)
        parameters = {"weight": rng.uniform(-bound, bound, (self.out_features, I, J))}
        if self.bias:
            parameters["bias"] = rng.uniform(-bound, bound, self.out_features)
        return parameters

    def forward(self, a: Array, b: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
        """yₒ = aᵀ Wₒ b + cₒ."""
        y = np.einsum("...i,oij,...j->...o", a, weight, b)
        return y if bias is None else y + bias, (a, b, weight, bias is not None)

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array, Array], dict[str, Array]]:
        """da = Σₒ dyₒ Wₒ b, db = Σₒ dyₒ Wₒᵀ a; dWₒ = Σ dyₒ a bᵀ, dcₒ = Σ dyₒ."""
        a, b, weight, has_bias = cache
        flat_a, flat_b, flat_dy = (x.reshape(-1, x.shape[-1]) for x in (a, b, dy))
        gradients = {"weight": np.einsum("no,ni,nj->oij", flat_dy, flat_a, flat_b)}
        if has_bias:
            gradients["bias"] = flat_dy.sum(axis=0)
        da = np.einsum("...o,oij,...j->...i", dy, weight, b)
        db = np.einsum("...o,oij,...i->...j", dy, weight, a)
        return (da, db), gradients
