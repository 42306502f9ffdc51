"""The same numbers, moved by one unit in the last place, or in a wider precision.

What such a move changes in a gradient is rounding, and nothing else: both witnesses measure their own with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.network import Point

Array = NDArray[Any]


def moved(array: Array, seed: int) -> Array:
    """Every value times 1 ± one unit in the last place; the sign depends on the value alone.

    So zeros stay zero and ties stay tied: a move never leaves the branch that a piecewise function has taken there.
    """
    bits = np.abs(array).view(f"u{array.dtype.itemsize}").astype(np.uint64)
    scattered = (bits + np.uint64(2 * seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
    sign = 1.0 - 2.0 * ((scattered >> np.uint64(61)) & np.uint64(1)).astype(array.dtype)
    result: Array = array * (1 + sign * np.finfo(array.dtype).eps).astype(array.dtype)
    return result


def wider(point: Point) -> Point:
    """The same point in a wider precision: float32 in float64, float64 in long double.

    Where long double is no wider than float64 it is the same point in the same precision.
    """
    narrow = any(array.dtype == np.float32 for array in point.arrays.values())
    return point.cast(np.float64 if narrow else np.longdouble)
