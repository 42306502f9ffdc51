"""Affine map of the last axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._columns import Columns


@dataclass(frozen=True)
class Linear(Layer):
    """Affine map of the last axis.

    forward     y  = x W + b         x (..., I)  weight W (I, O)    bias b (O,)    y (..., O)

    backward    dx = dy Wᵀ           dx (..., I)
                dW = Σ xᵀ dy         dW (I, O)     summed over every leading axis
                db = Σ dy            db (O,)

    verified    torch.nn.functional.linear; obvious loops

    Parameters are drawn uniformly from ±1/√I, PyTorch's default.
    """

    out_features: Annotated[int, Meta(ge=1)]
    bias: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """The last axis holds the features, so there must be one behind the batch axis."""
        if len(x_shapes[0]) < 2:
            raise ShapeError(f"needs an input (N, ..., in_features), got {x_shapes[0]}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (I, O) and bias (O,), uniform in ±1/√I."""
        in_features = x_shapes[0][-1]
        bound = 1 / np.sqrt(in_features)
        parameters = {"weight": rng.uniform(-bound, bound, (in_features, self.out_features))}
        if self.bias:
            parameters["bias"] = rng.uniform(-bound, bound, self.out_features)
        return parameters

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
        """y = x W + b."""
        y = x @ weight
        if bias is not None:  # in place where it can be, as a second array of this size costs more than the sum
            y = np.add(y, bias, out=y if y.dtype == bias.dtype else None)
        return y, (x, weight, bias is not None)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy Wᵀ, dW = Σ xᵀ dy, db = Σ dy."""
        x, weight, has_bias = cache
        flat_x, flat_dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        gradients = {"weight": flat_x.T @ flat_dy}
        if has_bias:
            gradients["bias"] = np.add.reduce(flat_dy)
        return dy @ weight.T, gradients

    def perturbed(self, name: str, entries: tuple[Array, ...], steps: Array, x: Array, **parameters: Any) -> Columns:
        """W[i, j] + δ moves column j of y by δ x[..., i]; b[j] + δ moves it by δ."""
        if name == "weight":
            factors = (x.T if x.ndim == 2 else x.transpose(-1, *range(x.ndim - 1))).take(entries[0], axis=0)
        else:
            factors = np.ones((1, *x.shape[:-1]))
        moves = steps.reshape(-1, *[1] * (x.ndim - 1)) * factors
        return Columns(x.ndim - 1, entries[-1], moves[..., None])

    def carry(self, moves: Array, **parameters: Any) -> Array:
        """x that moves by d moves y by d W."""
        return self.forward(moves, parameters["weight"])[0]

    def carry_columns(self, columns: Columns, **parameters: Any) -> Array | None:
        """A column j of x that moves by d moves y by d W[j], and a block of columns by the sum of what each does."""
        moves, weight, w = columns.moves, parameters["weight"], columns.width
        if columns.axis != moves.ndim - 2:
            return None
        rows = weight.reshape(-1, w, weight.shape[1])[columns.index]
        flat = moves.reshape(len(moves), -1, w)
        carried: Array = flat * rows if w == 1 else flat @ rows
        return carried.reshape(*moves.shape[:-1], -1)
