"""Windows of a kernel on padded images: how layers read pixels and give gradients back to them.

An image has one, two or three axes behind (N, C): a sequence, a picture, a volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
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
_two, _three = Meta(min_length=2, max_length=2), Meta(min_length=3, max_length=3)
#: One number for both axes of an image, or (vertical, horizontal).
Pair = Count | Annotated[tuple[Count, ...], _two]
MarginPair = Margin | Annotated[tuple[Margin, ...], _two]
#: One number for all axes of a volume, or (depth, vertical, horizontal).
Triple = Count | Annotated[tuple[Count, ...], _three]
MarginTriple = Margin | Annotated[tuple[Margin, ...], _three]
_AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


def each(option: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    """The option for every axis of an image, where it may be one number for all."""
    return option if isinstance(option, tuple) else (option,) * rank


def pair(option: int | tuple[int, ...]) -> tuple[int, int]:
    """(vertical, horizontal) of an option that may be one number for both."""
    vertical, horizontal = each(option, 2)
    return vertical, horizontal


def require_image(x_shape: Shape, rank: int) -> None:
    """Raise ShapeError unless x is (N, C) and `rank` axes more."""
    if len(x_shape) != 2 + rank:
        raise ShapeError(f"needs an input (N, C, {_AXES[rank]}), got {x_shape}")


@dataclass(frozen=True)
class Windows:
    """What a kernel sees of images (N, C, H, W) while it slides over them: (N, C, kh, kw, P, Q); or with other axes.

    Place i of window p reads row p stride + i dilation − padding; there are P = ⌊(H + 2 padding − extent) / stride⌋ + 1
    windows down the image, with extent = dilation (kh − 1) + 1; and likewise across. With ceil_mode the quotient is
    rounded up, as long as the last window begins in the image or in the padding before it; what it reads behind the
    padding is filled as the padding is.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    @property
    def extent(self) -> tuple[int, ...]:
        """Rows and columns that one window spans."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def check(self, x_shape: Shape) -> None:
        """Raise ShapeError unless x is (N, C, H, W) and the kernel fits on its padded images."""
        require_image(x_shape, len(self.kernel))
        padded = self._padded(x_shape)
        if any(e > size for e, size in zip(self.extent, padded, strict=True)):
            least, found = by(self.extent), by(padded)
            raise ShapeError(f"needs padded images of at least {least} pixels, got {found} for {x_shape}")

    def check_pooling(self, x_shape: Shape) -> None:
        """Raise ShapeError as `check` does, and where the padding is so wide that windows would see it alone."""
        self.check(x_shape)
        if any(2 * p > k for k, p in zip(self.kernel, self.padding, strict=True)):
            raise ShapeError(f"needs a padding of at most half its kernel of {by(self.kernel)}, got {by(self.padding)}")

    def read(self, x: Array, fill: float = 0) -> Array:
        """The windows of x, padded with `fill`: a read-only view (N, C, kh, kw, P, Q)."""
        counts = self.counts(x.shape)
        shape, inside = self._frame(x.shape)
        if shape != x.shape:
            image = x
            x = np.full(shape, fill, np.result_type(image, fill))
            x[inside] = image
        n, c, *steps = x.strides
        within = [step * d for step, d in zip(steps, self.dilation, strict=True)]
        between = [step * s for step, s in zip(steps, self.stride, strict=True)]
        return as_strided(x, (*x.shape[:2], *self.kernel, *counts), (n, c, *within, *between), writeable=False)

    def places(self, x: Array, fill: float = 0) -> list[Array]:
        """What the windows read at each of their kh kw places, rows first: views (N, C, P, Q)."""
        X = np.moveaxis(self.read(x, fill), (0, 1), (-2, -1))
        return [np.moveaxis(X[place], (-2, -1), (0, 1)) for place in self._offsets()]

    def give_back(self, places: Sequence[Array] | Array, x_shape: Shape) -> Array:
        """The adjoint of `places`: every pixel gets the sum of what stands where the windows read it, (N, C, H, W)."""
        shape, inside = self._frame(x_shape)
        x = np.zeros(shape, places[0].dtype)
        for place, values in zip(self._offsets(), places, strict=True):
            rows = (
                slice(i * d, i * d + count * s, s)
                for i, d, s, count in zip(place, self.dilation, self.stride, values.shape[2:], strict=True)
            )
            x[(slice(None), slice(None), *rows)] += values
        return x[inside]

    def pixels(self, x_shape: Shape) -> Array:
        """How many pixels of the image, and not of its padding, each window reads: (P, Q)."""
        return self._reached(x_shape, self.padding, x_shape[2:])

    def cells(self, x_shape: Shape) -> Array:
        """How many pixels of the image and its padding each window reads: (P, Q)."""
        return self._reached(x_shape, [0] * len(self.kernel), self._padded(x_shape))

    def counts(self, x_shape: Shape) -> tuple[int, ...]:
        """P and Q, the numbers of windows."""
        numbers = zip(x_shape[2:], self._padded(x_shape), self.extent, self.stride, self.padding, strict=True)
        counts = []
        for size, padded, extent, stride, padding in numbers:
            last = (padded - extent) // stride
            one_more = self.ceil_mode and (padded - extent) % stride and (last + 1) * stride < size + padding
            counts.append(last + 1 + bool(one_more))
        return tuple(counts)

    def _offsets(self) -> list[tuple[int, ...]]:
        return list(product(*map(range, self.kernel)))

    def _padded(self, x_shape: Shape) -> tuple[int, ...]:
        return tuple(size + 2 * p for size, p in zip(x_shape[2:], self.padding, strict=True))

    def _frame(self, x_shape: Shape) -> tuple[Shape, tuple[slice, ...]]:
        """The shape that the windows read, and where the images lie in it."""
        spanned = (
            (count - 1) * s + e for count, s, e in zip(self.counts(x_shape), self.stride, self.extent, strict=True)
        )
        sizes = tuple(max(both) for both in zip(self._padded(x_shape), spanned, strict=True))
        inside = (slice(p, p + size) for p, size in zip(self.padding, x_shape[2:], strict=True))
        return (*x_shape[:2], *sizes), (slice(None), slice(None), *inside)

    def _reached(self, x_shape: Shape, first: Sequence[int], sizes: Sequence[int]) -> Array:
        """How many places of each window lie between `first` and `first` + `sizes`."""
        along = []
        for axis, count in enumerate(self.counts(x_shape)):
            windows = self.stride[axis] * np.arange(count)[:, None]
            rows = windows + self.dilation[axis] * np.arange(self.kernel[axis]) - first[axis]
            along.append(((rows >= 0) & (rows < sizes[axis])).sum(axis=1))
        return reduce(np.multiply.outer, along)

    @property
    def size(self) -> int:
        """How many places a window has."""
        return math.prod(self.kernel)


def by(sizes: Sequence[int]) -> str:
    """`3 x 2`."""
    return " x ".join(map(str, sizes))
