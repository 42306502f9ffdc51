"""Images of more pixels: repeated, or on straight lines between those that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Shape
from gradcheck.layers._resampling import Resampling
from gradcheck.layers._windows import Pair, pair, require_image


@dataclass(frozen=True)
class Upsample(Resampling):
    """Images of other sizes: pixels repeated, or on straight lines between those that are there.

    forward     y  = A x Bᵀ                     x (N, C, H, W)   y (N, C, P, Q)   A (P, H)   B (Q, W)
                A[p, ⌊p H / P⌋] = 1             mode nearest; else 0
                A[p, ⌊h⌋] = 1 − r, A[p, ⌊h⌋ + 1] = r    mode bilinear;  r = h − ⌊h⌋, h = (p + 1/2) H / P − 1/2 or 0, the
                                                greater; with align_corners h = p (H − 1) / (P − 1); behind the last
                                                row, the last

    backward    dx = Aᵀ dy B                    dx (N, C, H, W)

    verified    torch.nn.functional.interpolate; obvious loops

    The size (P, Q) is given as `size`, or as a multiple of (H, W) by `scale_factor`, a whole number or two.
    """

    size: Pair | None = None
    scale_factor: Pair | None = None
    mode: Literal["nearest", "bilinear"] = "nearest"
    align_corners: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """Images, and options that say one size."""
        require_image(x_shapes[0], 2)
        if (self.size is None) == (self.scale_factor is None):
            raise ShapeError("needs size or scale_factor, one of them and not both")
        if self.align_corners and self.mode == "nearest":
            raise ShapeError("needs mode bilinear for align_corners, got nearest")

    def _matrices(self, x_shape: Shape) -> tuple[Array, Array]:
        """A and B."""
        (h, w), (down, across) = x_shape[2:], pair(self.scale_factor or 1)
        P, Q = pair(self.size or (h * down, w * across))
        return self._matrix(h, P), self._matrix(w, Q)

    def _matrix(self, old: int, new: int) -> Array:
        """A."""
        p = np.arange(new)
        if self.mode == "nearest":
            return np.eye(old)[p * old // new]
        h = p * (old - 1) / max(new - 1, 1) if self.align_corners else np.maximum((p + 0.5) * old / new - 0.5, 0)
        before = np.minimum(h.astype(int), old - 1)
        r = (h - before)[:, None]
        behind = np.minimum(before + 1, old - 1)
        A: Array = (1 - r) * np.eye(old)[before] + r * np.eye(old)[behind]
        return A
