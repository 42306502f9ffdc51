"""Numbers next to numbers: each moved by one unit in the last place.

What such a move changes in a gradient is rounding, and nothing else: both witnesses measure their own with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
