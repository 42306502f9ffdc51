"""Directions drawn from a seed, and what is added up along them, block by block, however large tensors are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import shake_128
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.gradients.numeric.rays import Ray

Array = NDArray[Any]
#: Numbers that are added up before the sums are: products of more would be written out in memory.
_BLOCK = 2**16


#: 1 and -1 for the bits of every byte, the highest first: (256, 8).
_SIGNS = 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).view(np.int8) - 1


class Draws(Struct, frozen=True):
    """Directions drawn from a seed: draw k of a tensor depends on the seed, its name and k alone."""

    count: int
    seed: int

    def ray(self, name: str, shape: tuple[int, ...], draw: int) -> Ray:
        """One direction of a tensor."""
        return Ray({name: self._signs(name, draw, prod(shape)).reshape(shape)})

    def joint(self, shapes: Mapping[str, tuple[int, ...]], draw: int) -> tuple[Ray, Array]:
        """One direction of several tensors together, and its signs one tensor behind the other."""
        ends = list(accumulate(map(prod, shapes.values()), initial=0))
        signs = self._signs(" ".join(shapes), draw, ends[-1])
        parts = zip(shapes.items(), pairwise(ends), strict=True)
        return Ray({name: signs[start:end].reshape(shape) for (name, shape), (start, end) in parts}), signs

    def _signs(self, name: str, draw: int, count: int) -> Array:
        """1 and -1, as the bits of a hash say: the same on every machine."""
        drawn = shake_128(f"{self.seed} {draw} {name}".encode()).digest(-(-count // 8))
        return _SIGNS.take(np.frombuffer(drawn, dtype=np.uint8), axis=0).reshape(-1)[:count]

    def rays(self, name: str, shape: tuple[int, ...], draws: Sequence[int] | Array | None = None) -> list[Ray]:
        """Some of the directions of a tensor, by default all."""
        wanted = range(self.count) if draws is None else draws
        return [self.ray(name, shape, int(draw)) for draw in wanted]


def along(gradient: Array, signs: Array) -> float:
    """Σ g v in float64, block by block."""
    flat, moves = gradient.reshape(-1), signs.reshape(-1)
    if flat.size <= _BLOCK:
        return float(np.dot(flat, moves.astype(np.float64)))
    starts = range(0, flat.size, _BLOCK)
    return float(np.sum([along(flat[start : start + _BLOCK], moves[start : start + _BLOCK]) for start in starts]))


def size(gradient: Array) -> float:
    """Σ|g| in float64."""
    flat = gradient.reshape(-1)
    if flat.size <= _BLOCK:
        return float(np.add.reduce(np.abs(flat.astype(np.float64, copy=False))))
    blocks = (np.abs(flat[start : start + _BLOCK]) for start in range(0, flat.size, _BLOCK))
    return float(sum(float(np.sum(block, dtype=np.float64)) for block in blocks))


def norm(gradient: Array) -> float:
    """‖g‖, the root mean square of Σ g v over all directions v."""
    greatest = float(np.max(np.abs(gradient), initial=0.0))
    if not 0 < greatest < np.inf:
        return greatest
    flat = gradient.reshape(-1)
    blocks = (flat[start : start + _BLOCK] / greatest for start in range(0, flat.size, _BLOCK))
    return greatest * float(np.sqrt(sum(float(np.dot(block, block)) for block in blocks)))


def apart(found: Array, other: Array) -> float:
    """‖found - other‖, block by block: nothing of their size is written out."""
    flat, beside = found.reshape(-1), other.reshape(-1)
    total = 0.0
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK] - beside[start : start + _BLOCK]
        total = float(np.hypot(total, norm(block.astype(np.float64, copy=False))))
    return total
