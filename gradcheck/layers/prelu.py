"""Rectified linear unit that learns its slope for negative inputs (He et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._normalised import along_channels
from gradcheck.maths import side


@dataclass(frozen=True)
class Prelu(Layer):
    """Rectified linear unit that learns its slope for negative inputs (He et al. 2015, Delving Deep into Rectifiers).

    forward     y  = x  where x > 0, else w x       x, y (N, C, ...)    weight w (1,) or (C,), one for each channel

    backward    dx = dy where x > 0, else w dy      dx   (N, C, ...)
                dw = Σ dy x where x < 0             dw   (1,) or (C,)   summed over all that it multiplies

    verified    torch.nn.functional.prelu; obvious loops

    num_parameters is 1 or C. At x = 0, where there is no derivative unless w = 1, backward says w. The slopes are
    drawn uniformly from 0 to 0.5. PyTorch starts all of them with the middle, 0.25: of equal slopes it would not be
    seen that one took the place of another.
    """

    num_parameters: Annotated[int, Meta(ge=1)] = 1

    def check(self, *x_shapes: Shape) -> None:
        """One parameter, or as many as there are channels."""
        if len(x_shapes[0]) < 2:
            raise ShapeError(f"needs an input (N, C, ...), got {x_shapes[0]}")
        if self.num_parameters not in (1, x_shapes[0][1]):
            raise ShapeError(f"needs num_parameters 1 or {x_shapes[0][1]}, one a channel, got {self.num_parameters}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (1,) or (C,), uniform between 0 and 0.5."""
        return {"weight": rng.uniform(0, 0.5, self.num_parameters)}

    def forward(self, x: Array, weight: Array) -> tuple[Array, Any]:
        """y = x where x > 0, else w x."""
        return np.where(x.real > 0, x, along_channels(weight, x.ndim) * x), (x, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy where x > 0, else w dy; dw = Σ dy x where x < 0."""
        x, weight = cache
        dw = np.where(x < 0, dy * x, 0).reshape(*x.shape[:2], -1).sum(axis=(0, 2))
        dx = np.where(x > 0, dy, along_channels(weight, x.ndim) * dy)
        return dx, {"weight": dw if weight.size > 1 else dw.sum(keepdims=True)}

    def branches(self, x: Array, weight: Array) -> Array:
        """1 where x > 0, 0 where x < 0, -1 where x = 0 (0 if w = 1: a straight line)."""
        return np.where(along_channels(weight, x.ndim) == 1, 0, side(x))
