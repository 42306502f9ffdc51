"""Mean of the parts of an image that make a given number of rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.layers._adaptive import PairOrSame, parts, sizes
from gradcheck.layers._base import Array, Shape
from gradcheck.layers._resampling import Resampling
from gradcheck.layers._windows import require_image


@dataclass(frozen=True)
class AdaptiveAvgPool2d(Resampling):
    """Mean of the parts of an image that make a given number of rows and columns, channel by channel.

    forward     y  = A x Bᵀ              x (N, C, H, W)   y (N, C, P, Q)   (P, Q) = output_size
                A[p, h] = 1 / length     of the part of the rows h from ⌊p H / P⌋ to ⌈(p + 1) H / P⌉ − 1, else 0;
                                         A (P, H), and B (Q, W) likewise

    backward    dx = Aᵀ dy B             dx (N, C, H, W)

    verified    torch.nn.functional.adaptive_avg_pool2d; obvious loops

    Parts may overlap. A null in output_size keeps the input's number of rows or columns.
    """

    output_size: PairOrSame

    def check(self, *x_shapes: Shape) -> None:
        """Images."""
        require_image(x_shapes[0], 2)

    def _matrices(self, x_shape: Shape) -> tuple[Array, Array]:
        """A and B."""
        P, Q = sizes(self.output_size, x_shape)
        return _means(x_shape[2], P), _means(x_shape[3], Q)


def _means(size: int, count: int) -> Array:
    """A."""
    A = np.zeros((count, size))
    for row, (first, end) in zip(A, parts(size, count), strict=True):
        row[first:end] = 1 / (end - first)
    return A
