"""The same numbers, moved by one unit in the last place, or in a wider precision.

What such a move changes in a gradient is rounding, and nothing else: both witnesses measure their own with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.network import Point

Array = NDArray[Any]
#: Numbers that are moved at a time: what is worked out for more of them falls out of the cache.
_BLOCK = 2**15


def moved(array: Array, seed: int) -> Array:
    """Every value times 1 ± one unit in the last place; the sign depends on the value alone, and on the seed.

    So zeros stay zero and ties stay tied: a move never leaves the branch that a piecewise function has taken there.
    """
    if array.size <= _BLOCK:
        return _moved(array, seed)
    result = np.empty_like(array, order="C")
    flat, into = array.reshape(-1), result.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        into[start : start + _BLOCK] = _moved(flat[start : start + _BLOCK], seed)
    return result


def _moved(array: Array, seed: int) -> Array:
    narrow = np.abs(array.reshape(-1)).astype(np.float64 if array.dtype.itemsize > 8 else array.dtype, copy=False)
    bits = narrow.view(f"u{narrow.dtype.itemsize}").astype(np.uint64, copy=False)
    down = (_scattered(bits, seed) & np.uint64(1)).astype(np.intp, copy=False)
    result: Array = array * _up_and_down(array.dtype)[down].reshape(array.shape)
    return result


@cache
def _up_and_down(dtype: np.dtype[Any]) -> Array:
    one, ulp = dtype.type(1), np.finfo(dtype).eps
    return np.array([one + ulp, one - ulp], dtype)


def moved_within(kept: Any, seed: int) -> Any:
    """What a forward has kept for its backward, with every real array in it moved; the others are copies.

    Arrays are looked for in tuples, lists and dictionaries. They have been rounded, so numbers at which a move of the
    inputs stops short (a softmax of 1) move, too.
    """
    return _each(kept, lambda array: moved(array, seed) if array.dtype.kind == "f" else array.copy())


def copied_within(kept: Any) -> Any:
    """The same with copies of all arrays: a backward that works in place spoils them and nothing else."""
    return _each(kept, np.copy)


def _each(kept: Any, change: Callable[[Array], Array]) -> Any:
    if isinstance(kept, (np.ndarray, np.floating)):
        return change(np.asarray(kept))[()]
    if isinstance(kept, dict):
        return {key: _each(part, change) for key, part in kept.items()}
    if type(kept) in (tuple, list):
        return type(kept)(_each(part, change) for part in kept)
    return kept


def _scattered(bits: Array, seed: int) -> Array:
    """A hash of each number, modulo 2⁶⁴ (splitmix64; Steele, Lea & Flood 2014)."""
    z: Array = bits + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def wider(point: Point) -> Point:
    """The same point in a wider precision: float32 in float64, float64 in long double.

    Where long double is no wider than float64 it is the same point in the same precision.
    """
    return point.cast(wider_type(point.arrays))


def wider_type(arrays: Mapping[str, Array]) -> type[np.floating[Any]]:
    """The precision that `wider` means for these arrays."""
    return np.float64 if any(array.dtype == np.float32 for array in arrays.values()) else np.longdouble
