"""What the tests of convolutions and poolings share: the places that a window reads, one by one, and random options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Index = tuple[int, ...]


def each(option: Any, rank: int) -> tuple[int, ...]:
    return option if isinstance(option, tuple) else (option,) * rank


def read(layer: Any, window: Index, sizes: Index, kernel: Any = None) -> Iterator[tuple[Index, Index]]:
    """Every place of a kernel that lies on the image, and the pixel that it reads there."""
    rank = len(sizes)
    kernel = each(kernel or layer.kernel_size, rank)
    stride = each(layer.stride or layer.kernel_size, rank)
    padding, dilation = each(layer.padding, rank), each(getattr(layer, "dilation", 1), rank)
    for place in np.ndindex(*kernel):
        pixel = tuple(w * s + i * d - a for w, s, i, d, a in zip(window, stride, place, dilation, padding, strict=True))
        if all(0 <= p < size for p, size in zip(pixel, sizes, strict=True)):
            yield place, pixel


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def several(rng: np.random.Generator, rank: int, low: int, high: int) -> Any:
    """An option: one number where the image has one axis, else as many as it has."""
    return whole(rng, low, high) if rank == 1 else tuple(whole(rng, low, high) for _ in range(rank))


def image(rng: np.random.Generator, channels: int, layer: Any, rank: int) -> np.ndarray[Any, Any]:
    """One or two images on which the kernel of the layer fits, hardly larger than it."""
    kernel, padding, dilation = (
        each(option, rank) for option in (layer.kernel_size, layer.padding, getattr(layer, "dilation", 1))
    )
    sizes = [
        max(1, d * (k - 1) + 1 - 2 * a + whole(rng, 0, 2)) for k, a, d in zip(kernel, padding, dilation, strict=True)
    ]
    return rng.standard_normal((whole(rng, 1, 2), channels, *sizes))
