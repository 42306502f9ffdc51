"""What a complex step of one unit does, where that says what every other one does.

A step i h is so short that a smooth forward is linear along it to the last digit:

    Im f(x + i h t) = t Im f(x + i h)                               for every tangent t of one unit
    Im f(x + i h Σ tₖ eₖ) = Σ tₖ Im f(x + i h eₖ)                   for several units together

So a forward that is called once for every unit has answered for all entries in front of it. Where a function is not
smooth at x (a root at 0, a distance of 0, a maximum at a tie) this does not hold; that is seen in what the same calls
return, and then every copy goes through the forward itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric.schemes import COMPLEX_STEP, SCHEMES, step_for
from gradcheck.maths import is_finite
from gradcheck.network import Node

Array = NDArray[Any]
#: Numbers in one stacked evaluation.
_CHUNK = 2**16
#: Relative to a value, what its rounding in complex arithmetic may change in it; relative to slopes, in their sum.
_ROUNDED, _ADDING_UP = 2.0**-44, 2.0**-32


def slopes(node: Node, x: Array, y: Array) -> Array | None:
    """Im f(x + i h) / h of an elementwise layer, of x's shape; None where that does not hold for every move.

    Of a layer that is not ours it must also be minus the same for a move by −1: its forward may look at the sign.
    """
    h = step_for(SCHEMES["complex"], x)
    stepped = node.part(x + 1j * h)
    usable = _stays(stepped, y, h) and (node.trusted or np.array_equal(stepped.imag, -node.part(x - 1j * h).imag))
    return stepped.imag / h if usable else None


def sensitivities(losses: Callable[[Mapping[str, Array], int], Array], name: str, array: Array) -> Array | None:
    """Im of what is made of a prediction (N, ...) where one of its entries has the tangent 1: (blocks, N, ...).

    losses  copies of the prediction by its name, and how many -> (copies, blocks N), each column of one sample alone

    None where what the entries do alone does not add up to what they do together.
    """
    h = step_for(SCHEMES["complex"], array)
    together = _together(array.size).reshape(array.shape)
    features, size = array[0].size, max(1, _CHUNK // array.size)
    rows = []
    for first in range(0, features + 1, size):
        moved = _moved(array, h, together, first, min(first + size, features + 1))
        rows.append(losses({name: moved}, len(moved)))
    found = np.concatenate(rows) if len(rows) > 1 else rows[0]
    alone, base = found[:-1], found[-1]
    slopes = alone.imag.T.reshape(-1, *array.shape)
    shares = (slopes * together).reshape(len(base), -1)
    apart = np.abs(np.add.reduce(shares, 1) - base.imag)
    np.abs(shares, out=shares)
    add_up = _all(apart <= _ADDING_UP * np.add.reduce(shares, 1))
    return slopes * (COMPLEX_STEP / h) if add_up and _stays(alone, base, h) else None


@lru_cache(maxsize=8)
def _together(count: int) -> Array:
    """Tangents of entries that all move, none as another does: cos 0, cos 1, …"""
    tangents = np.cos(np.arange(count))
    tangents.flags.writeable = False
    return tangents


def _moved(array: Array, h: float, together: Array, first: int, last: int) -> Array:
    """x + i h t, t moving one feature of all samples alone, and behind all of them the tangents called `together`."""
    samples, features = len(array), array[0].size
    moved = np.empty((last - first, samples, features), dtype=complex)
    moved.real, tangents = array.reshape(samples, features), moved.imag
    tangents[...] = np.eye(last - first, features, first)[:, None] * h
    if last > features:
        np.multiply(together.reshape(samples, features), h, out=tangents[-1])
    return moved.reshape(-1, *array.shape)


def _stays(stepped: Array, base: Array, h: float) -> bool:
    """Whether f(x + i h) is that of a function smooth at x: finite, with one real part but for rounding and h²."""
    base = base.real
    apart, allowed = np.abs(stepped.real - base), _ROUNDED * np.abs(base)
    allowed += h
    return is_finite(stepped) and _all(apart <= allowed)


def _all(flags: Array) -> bool:
    """Whether all are true, for less than `numpy.all` takes to be called."""
    return bool(np.count_nonzero(flags) == flags.size)
