"""What a hypothesis hands to the engine, and how it is held against the analytic values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.suspect import Suspect

Array = NDArray[Any]
#: Bars that a prediction may be off.
_BARS = 4
#: A prediction that leaves out wrong entries must be right about so many.
_ENOUGH = 12


class Prediction(Struct, frozen=True):
    """The gradient that a mistake would give.

    values   of the operand's shape; NaN where nothing is predicted
    formula  of the mistake, in the letters a, n, g, J
    says     what is wrong and how that is known: the end of a sentence that begins with `backward`
    look     what to look at
    on       the suspect whose a is predicted, where that is another one
    free     numbers that were fitted; they do not count as predicted
    fixed    whether the mistake may not also be scaled
    certain  whether the values were seen to be right elsewhere, so that nothing is to be compared here
    """

    values: Array
    formula: str
    says: str
    look: str
    on: Suspect | None = None
    free: int = 0
    fixed: bool = False
    certain: bool = False


def deviation(suspect: Suspect, values: Array) -> tuple[Array, Array]:
    """|a - predicted| and what it may be, where both are known; elsewhere 0."""
    where = suspect.clear & np.isfinite(values)
    finite = np.where(where, values, 0.0)
    return np.where(where, np.abs(suspect.a - finite), 0.0), allowed(suspect, np.abs(finite))


def allowed(suspect: Suspect, size: Array) -> Array:
    """What a prediction of that size may be off."""
    greatest = max(float(np.max(size, initial=0.0)), suspect.greatest)
    return _BARS * suspect.bar * _stretch(suspect, size) + suspect.resolution * greatest


def _stretch(suspect: Suspect, size: Array) -> Array:
    n = np.abs(suspect.n)
    return np.maximum(1.0, np.divide(size, n, out=np.ones_like(size), where=n > suspect.bar))


def fits(suspect: Suspect, values: Array, free: int = 0) -> bool:
    """Whether a prediction meets the analytic values, and tells more than was fitted."""
    if _misses(suspect, values):
        return False
    finite = np.isfinite(values)
    told = np.count_nonzero(suspect.wrong & finite)
    if not told or (told < _ENOUGH and told < np.count_nonzero(suspect.wrong)):
        return False
    off, most = deviation(suspect, values)
    return bool(np.all(off <= most) and np.count_nonzero(suspect.clear & finite) > free)


def _misses(suspect: Suspect, values: Array) -> bool:
    """Whether a prediction is off at the entry that is most wrong: so most are; False where it has no number there."""
    k = suspect.most_wrong
    if k is None or not math.isfinite(value := float(values.flat[k])):
        return False
    a, n, bar = (float(array.flat[k]) for array in (suspect.a, suspect.n, suspect.bar))
    stretch = max(1.0, abs(value) / abs(n)) if abs(n) > bar else 1.0
    greatest = max(float(values.max()), -float(values.min()), suspect.greatest)
    return abs(a - value) > _BARS * bar * stretch + suspect.resolution * greatest


def explained(suspect: Suspect, values: Array) -> float:
    """The share of a - n that a prediction reproduces, 0 to 1, over the entries that it is about."""
    where = suspect.clear & np.isfinite(values)
    off, most = deviation(suspect, values)
    if where.any() and np.all(off <= most):
        return 1.0
    total = float(np.sqrt(np.sum(np.square(suspect.e[where]))))
    left = float(np.sqrt(np.sum(np.square(suspect.a[where] - values[where]))))
    return float(np.clip(1 - left / total, 0.0, 1.0)) if total else 0.0
