"""Windows of a kernel on padded images: how two-dimensional layers read pixels and give gradients back to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.lib.stride_tricks import as_strided

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Shape

Count = Annotated[int, Meta(ge=1)]
Margin = Annotated[int, Meta(ge=0)]
# Two is a constraint here and not tuple[Count, Count]: beside a constrained number, msgspec 0.22 takes the length of a
# fixed tuple from the wrong place in memory.
_two = Meta(min_length=2, max_length=2)
#: One number for both axes of an image, or (vertical, horizontal).
Pair = Count | Annotated[tuple[Count, ...], _two]
MarginPair = Margin | Annotated[tuple[Margin, ...], _two]


def pair(option: int | tuple[int, ...]) -> tuple[int, int]:
    """(vertical, horizontal) of an option that may be one number for both."""
    vertical, horizontal = option if isinstance(option, tuple) else (option, option)
    return vertical, horizontal


@dataclass(frozen=True)
class Windows:
    """What a kernel sees of images (N, C, H, W) while it slides over them: (N, C, kh, kw, P, Q).

    Place i of window p reads row p stride + i dilation − padding; there are P = ⌊(H + 2 padding − extent) / stride⌋ + 1
    windows down the image, with extent = dilation (kh − 1) + 1; and likewise across.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns that one window spans."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    def check(self, x_shape: Shape) -> None:
        """Raise ShapeError unless x is (N, C, H, W) and the kernel fits on its padded images."""
        if len(x_shape) != 4:
            raise ShapeError(f"needs an input (N, C, H, W), got {x_shape}")
        h, w = self._padded(x_shape)
        eh, ew = self.extent
        if eh > h or ew > w:
            raise ShapeError(f"needs padded images of at least {eh} x {ew} pixels, got {h} x {w} for {x_shape}")

    def check_padding(self) -> None:
        """Raise ShapeError where the padding is more than half of the kernel, as pooling would see padding alone."""
        (kh, kw), (ph, pw) = self.kernel, self.padding
        if 2 * ph > kh or 2 * pw > kw:
            raise ShapeError(f"needs a padding of at most half its kernel of {kh} x {kw}, got {ph} x {pw}")

    def read(self, x: Array, fill: float = 0) -> Array:
        """The windows of x, padded with `fill`: a read-only view (N, C, kh, kw, P, Q)."""
        if any(self.padding):
            image = x
            x = np.full((*image.shape[:2], *self._padded(image.shape)), fill, np.result_type(image, fill))
            x[self._inside(image.shape)] = image
        n, c, row, column = x.strides
        (dh, dw), (sh, sw) = self.dilation, self.stride
        strides = (n, c, row * dh, column * dw, row * sh, column * sw)
        return as_strided(x, (*x.shape[:2], *self.kernel, *self._counts(x.shape[2:])), strides, writeable=False)

    def places(self, x: Array, fill: float = 0) -> list[Array]:
        """What the windows read at each of their kh kw places, rows first: views (N, C, P, Q)."""
        X = self.read(x, fill)
        return [X[:, :, i, j] for i in range(self.kernel[0]) for j in range(self.kernel[1])]

    def give_back(self, places: Sequence[Array] | Array, x_shape: Shape) -> Array:
        """The adjoint of `places`: every pixel gets the sum of what stands where the windows read it, (N, C, H, W)."""
        x = np.zeros((*x_shape[:2], *self._padded(x_shape)), places[0].dtype)
        (dh, dw), (sh, sw), (p, q) = self.dilation, self.stride, places[0].shape[2:]
        for place, values in enumerate(places):
            i, j = divmod(place, self.kernel[1])
            x[:, :, i * dh : i * dh + p * sh : sh, j * dw : j * dw + q * sw : sw] += values
        return x[self._inside(x_shape)]

    def pixels(self, x_shape: Shape) -> Array:
        """How many pixels of the image, and not of its padding, each window reads: (P, Q)."""
        ones = np.ones((1, 1, *x_shape[2:]), int)
        counts: Array = self.read(ones)[0, 0].sum(axis=(0, 1))
        return counts

    def _padded(self, x_shape: Shape) -> tuple[int, int]:
        ph, pw = self.padding
        return x_shape[2] + 2 * ph, x_shape[3] + 2 * pw

    def _inside(self, x_shape: Shape) -> tuple[slice, ...]:
        """Where the images lie in their padded copies."""
        ph, pw = self.padding
        return (slice(None), slice(None), slice(ph, ph + x_shape[2]), slice(pw, pw + x_shape[3]))

    def _counts(self, padded: Shape) -> tuple[int, int]:
        (eh, ew), (sh, sw) = self.extent, self.stride
        return (padded[0] - eh) // sh + 1, (padded[1] - ew) // sw + 1
