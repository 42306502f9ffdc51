"""A small picture of where the wrong entries lie, in plain characters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: From right to very wrong.
_SHADES = ".-+*#"
_WIDTH, _HEIGHT = 64, 16


def picture(wrong: Array, error: Array) -> tuple[str, ...]:
    """The tensor's last two axes, each place as wrong as its worst entry; empty where everything is wrong, or nothing.

    A large tensor is shrunk: a character stands for a block of places. Wrong places are shaded by their size.
    """
    if wrong.ndim == 0 or not wrong.any() or wrong.size < 4:
        return ()
    size = np.where(wrong, np.abs(error), 0.0)
    plane, marked = (_plane(array) for array in (size, wrong.astype(float)))
    if marked.all():
        return ()
    plane, marked = _shrunk(plane), _shrunk(marked)
    greatest = float(np.max(plane)) or 1.0
    shade = np.ceil(plane / greatest * (len(_SHADES) - 1)).astype(int)
    shade = np.where(marked > 0, np.maximum(shade, 1), 0)
    return tuple("".join(_SHADES[k] for k in row) for row in shade)


def _plane(array: Array) -> Array:
    if array.ndim == 1:
        return array[None, :]
    return np.asarray(array.max(axis=tuple(range(array.ndim - 2))))


def _shrunk(plane: Array) -> Array:
    for axis, most in ((0, _HEIGHT), (1, _WIDTH)):
        block = -(-plane.shape[axis] // most)
        starts = np.arange(0, plane.shape[axis], block)
        plane = np.maximum.reduceat(plane, starts, axis=axis)
    return plane
