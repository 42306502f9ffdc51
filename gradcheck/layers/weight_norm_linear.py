"""Affine map whose weights have a length and a direction of their own (Salimans & Kingma 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck import complex_safe as cs
from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class WeightNormLinear(Layer):
    """Affine map of the last axis whose weights have a length and a direction of their own (Salimans & Kingma 2016).

    forward     y  = x W + b               x (..., I)  weight_v v (I, O)   weight_g g (O,)   bias b (O,)   y (..., O)
                W  = g u,  u = v / ‖v‖     W, u (I, O)                     ‖v‖ (O,)  the length of each column

    backward    dx = dy Wᵀ                 dx (..., I)
                dg = Σ u dW                dg (O,)     summed over I       dW = Σ xᵀ dy  (I, O)
                dv = g (dW − u dg) / ‖v‖   dv (I, O)
                db = Σ dy                  db (O,)     summed over every leading axis

    verified    torch.nn.utils.parametrizations.weight_norm; obvious loops

    PyTorch has the same as weight_norm(Linear(I, O)), where v is transposed and g (O, 1). v and b are drawn uniformly
    from ±1/√I, as those of a linear layer, and g from 0.5 to 1.5: with g = ‖v‖, where PyTorch starts, W is v, and a
    forgotten factor would not be seen.
    """

    out_features: Annotated[int, Meta(ge=1)]
    bias: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """The last axis holds the features, so there must be one behind the batch axis."""
        if len(x_shapes[0]) < 2:
            raise ShapeError(f"needs an input (N, ..., in_features), got {x_shapes[0]}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """v (I, O) and b (O,) uniform in ±1/√I, g (O,) from 0.5 to 1.5."""
        in_features, out_features = x_shapes[0][-1], self.out_features
        bound = 1 / np.sqrt(in_features)
        parameters = {
            "weight_v": rng.uniform(-bound, bound, (in_features, out_features)),
            "weight_g": rng.uniform(0.5, 1.5, out_features),
        }
        if self.bias:
            parameters["bias"] = rng.uniform(-bound, bound, out_features)
        return parameters

    def forward(self, x: Array, weight_v: Array, weight_g: Array, bias: Array | None = None) -> tuple[Array, Any]:
        """y = x W + b, W = g v / ‖v‖."""
        length = cs.norm(weight_v, axis=0)
        u = weight_v / length
        y = x @ (weight_g * u)
        return y if bias is None else y + bias, (x, weight_g, u, length, bias is not None)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy Wᵀ; dg = Σ u dW, dv = g (dW − u dg) / ‖v‖, db = Σ dy."""
        x, g, u, length, has_bias = cache
        flat_x, flat_dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        dW = flat_x.T @ flat_dy
        dg = (u * dW).sum(axis=0)
        gradients = {"weight_v": g * (dW - u * dg) / length, "weight_g": dg}
        if has_bias:
            gradients["bias"] = flat_dy.sum(axis=0)
        return dy @ (g * u).T, gradients
