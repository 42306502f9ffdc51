"""Normalisation by neighbouring channels (Krizhevsky et al. 2012)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class LocalResponseNorm(Layer):
    """Normalisation by neighbouring channels (Krizhevsky et al. 2012, ImageNet Classification with Deep CNNs).

    forward     y  = x s^−β                         x, y, s (N, C, ...)
                s  = k + (α / n) Σ x²               summed over n channels, from c − ⌊n/2⌋ to c + ⌈n/2⌉ − 1

    backward    dx = dy s^−β − (2 α β / n) x Σ t    dx (N, C, ...)   t = dy x s^−β⁻¹, summed over the channels whose s
                                                                     contains this one

    verified    torch.nn.functional.local_response_norm; obvious loops

    n = size, α = alpha, β = beta. Channels that are not there count as zeros.
    """

    size: Annotated[int, Meta(ge=1)]
    alpha: Annotated[float, Meta(ge=0)] = 1e-4
    beta: float = 0.75
    k: Annotated[float, Meta(gt=0)] = 1.0

    def check(self, *x_shapes: Shape) -> None:
        """An axis of channels, and something behind it, as PyTorch has it."""
        if len(x_shapes[0]) < 3:
            raise ShapeError(f"needs an input (N, C, ...) of at least three axes, got {x_shapes[0]}")

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x s^−β."""
        s = self.k + self.alpha / self.size * _window_sum(x * x, self.size // 2, (self.size - 1) // 2)
        return x * s**-self.beta, (x, s)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy s^−β − (2 α β / n) x Σ t; the window of the channels that contain one is the mirrored one."""
        x, s = cache
        t = _window_sum(dy * x * s ** (-self.beta - 1), (self.size - 1) // 2, self.size // 2)
        return dy * s**-self.beta - 2 * self.alpha * self.beta / self.size * x * t, {}


def _window_sum(x: Array, before: int, after: int) -> Array:
    """The sum over channels c − before to c + after, for every channel c."""
    margins = [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)]
    padded = np.pad(x, margins)
    return reduce(np.add, [padded[:, k : k + x.shape[1]] for k in range(before + after + 1)])
