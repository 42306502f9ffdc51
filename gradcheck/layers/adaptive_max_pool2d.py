"""Maximum of the parts of an image that make a given number of rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._adaptive import PairOrSame, parts, sizes
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._windows import require_image


@dataclass(frozen=True)
class AdaptiveMaxPool2d(Layer):
    """Maximum of the parts of an image that make a given number of rows and columns, channel by channel.

    forward     y  = x[m],  m = argmax of the part      x (N, C, H, W)   y, m (N, C, P, Q)   (P, Q) = output_size

    backward    dx = Σ dy at m                          dx (N, C, H, W)  summed over the parts whose maximum it is

    verified    torch.nn.functional.adaptive_max_pool2d; obvious loops

    Part p has the rows from ⌊p H / P⌋ to ⌈(p + 1) H / P⌉ − 1, and likewise for columns; parts may overlap. A null in
    output_size keeps the input's number of rows or columns. The first of equal maxima is taken; there, where there is
    no derivative, the whole gradient goes to it.
    """

    output_size: PairOrSame

    def check(self, *x_shapes: Shape) -> None:
        """Images."""
        require_image(x_shapes[0], 2)

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x[m], m = argmax of the part."""
        m, _ = self._greatest(x.real)
        flat_x = x.reshape(*x.shape[:2], -1)
        return np.take_along_axis(flat_x, m.reshape(*m.shape[:2], -1), 2).reshape(m.shape), (x.shape, m)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = Σ dy at m."""
        x_shape, m = cache
        n, c, h, w = x_shape
        dx = np.zeros((n * c, h * w), dy.dtype)
        np.add.at(dx, (np.arange(n * c)[:, None], m.reshape(n * c, -1)), dy.reshape(n * c, -1))
        return dx.reshape(x_shape), {}

    def branches(self, x: Array) -> Array:
        """m, the number of the pixel that is the maximum, rows first; −1 − m where the maximum is attained twice."""
        m, tied = self._greatest(x.real)
        return np.where(tied, -1 - m, m)

    def _greatest(self, x: Array) -> tuple[Array, Array]:
        """m, and whether the maximum is attained twice."""
        P, Q = sizes(self.output_size, x.shape)
        m = np.empty((*x.shape[:2], P, Q), int)
        tied = np.empty(m.shape, bool)
        for p, (top, bottom) in enumerate(parts(x.shape[2], P)):
            for q, (left, right) in enumerate(parts(x.shape[3], Q)):
                part = x[:, :, top:bottom, left:right].reshape(*x.shape[:2], -1)
                place = part.argmax(axis=2)
                row, column = np.divmod(place, right - left)
                m[:, :, p, q] = (top + row) * x.shape[3] + left + column
                tied[:, :, p, q] = (part == part.max(axis=2, keepdims=True)).sum(axis=2) > 1
        return m, tied
