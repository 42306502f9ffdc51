"""Normalisation of the last axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._columns import Columns
from gradcheck.layers._normalised import drawn_affine, normalised, normalised_backward

Size = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class LayerNorm(Layer):
    """The last axes with mean 0 and variance 1, then an affine map of every place in them.

    forward     y  = w z + b,  z = (x − μ) / s        x, y, z (N, ..., *F)   weight w (*F)   bias b (*F)
                s  = √(σ² + ε)                        μ, σ², s (N, ...)   mean and variance over the axes F

    backward    dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s       dx, dz (N, ..., *F)   dz = w dy,  ⟨ ⟩ the mean over the axes F
                dw = Σ dy z                           dw (*F)   summed over every axis before F
                db = Σ dy                             db (*F)

    verified    torch.nn.functional.layer_norm; obvious loops

    F = normalized_shape: the sizes of the last axes, or the size of the last one. ε is `eps`; without
    `elementwise_affine` there are neither weight nor bias. Weight and bias are drawn around PyTorch's 1 and 0: a factor
    1 that is forgotten would never be missed.
    """

    normalized_shape: Size | Annotated[tuple[Size, ...], Meta(min_length=1)]
    eps: Annotated[float, Meta(gt=0)] = 1e-5
    elementwise_affine: bool = True
    bias: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """The last axes have the sizes of normalized_shape, and the batch axis is not among them."""
        shape, F = x_shapes[0], self._shape
        if len(shape) <= len(F) or shape[-len(F) :] != F:
            raise ShapeError(f"needs an input (N, ..., {', '.join(map(str, F))}), got {shape}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (*F) around 1 and bias (*F) around 0."""
        return drawn_affine(rng, self._shape, self.bias) if self.elementwise_affine else {}

    def forward(self, x: Array, *, weight: Array | None = None, bias: Array | None = None) -> tuple[Array, Any]:
        """y = w z + b, z = (x − μ) / s."""
        z, s = normalised(x, self._axes, self.eps)
        y = z if weight is None else weight * z
        return y if bias is None else y + bias, (z, s, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = (dz − ⟨dz⟩ − z ⟨dz z⟩) / s, dw = Σ dy z, db = Σ dy."""
        z, s, weight = cache
        dz, gradients = dy, {}
        if weight is not None:
            before = tuple(range(dy.ndim - len(self._shape)))
            dz, gradients["weight"] = weight * dy, (dy * z).sum(axis=before)
            if self.bias:
                gradients["bias"] = dy.sum(axis=before)
        return normalised_backward(dz, z, s, self._axes), gradients

    def perturbed(
        self, name: str, entries: tuple[Array, ...], steps: Array, x: Array, **parameters: Any
    ) -> Columns | None:
        """w[j] + δ moves column j of y by δ z[..., j]; b[j] + δ moves it by δ. For one normalised axis."""
        if len(entries) > 1:
            return None
        (column,) = entries
        moves = steps.reshape(-1, *[1] * (x.ndim - 1))
        if name == "weight":
            z, _ = normalised(x, self._axes, self.eps)
            moves = moves * np.moveaxis(z[..., column], -1, 0)
        moves = np.broadcast_to(moves, (len(column), *x.shape[:-1]))
        return Columns(x.ndim - 1, column, moves[..., None])

    @property
    def _shape(self) -> Shape:
        """F."""
        sizes = self.normalized_shape
        return (sizes,) if isinstance(sizes, int) else tuple(sizes)

    @property
    def _axes(self) -> Shape:
        """The axes F, from the end."""
        return tuple(range(-len(self._shape), 0))
