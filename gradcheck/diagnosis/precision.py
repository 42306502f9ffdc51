"""The gradient was rounded to a narrower precision.

## What it is
Every analytic value is a number of float16, bfloat16 or float32, and differs from the numeric one by no more than such
a rounding.

## Why it is bad
Small contributions are lost: a sum of ones sticks at 2048 in float16, at 256 in bfloat16.

## Typical causes
A cast in backward; an array made without its dtype; a mask or constant in float32 that pulls the rest down.

## How to repair
Compute in the precision of the upstream gradient, and add up in float32 or wider.

## How to silence
`--ignore GC122`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnosis._prediction import Prediction
from gradcheck.suspect import Suspect

Array = NDArray[Any]
CODE = "GC122"
_ULPS = 64
#: No power of 2: roundings are others there.
_MULTIPLE = 1.37
_LOOK = "a cast, or an array made in that precision"
#: So many of the entries are off: rounding is a matter of all of them.
_MOST = 0.5


def _bfloat16(x: Array) -> Array:
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32).astype(np.float64)


#: The finest first: what float32 explains is no matter of float16.
_NARROW = (
    ("float32", lambda x: x.astype(np.float32).astype(np.float64), 2.0**-25),
    ("float16", lambda x: x.astype(np.float16).astype(np.float64), 2.0**-12),
    ("bfloat16", _bfloat16, 2.0**-9),
)


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n, rounded: a itself has to be a number of that precision, or to lie within a few of its roundings.

    Those are others for another multiple of the upstream gradient, unless it was an operand that was rounded.
    """
    where = suspect.clear
    if not where.any() or suspect.alone.analytic.units.get(suspect.operand, 0.0) > 1e-9:
        return
    a, greatest = suspect.a[where], float(np.max(np.abs(suspect.n), initial=0.0))
    off = np.abs(suspect.e[where])
    if np.mean(suspect.wrong[where]) < _MOST:
        return
    for name, rounded, unit in _NARROW:
        with np.errstate(all="ignore"):
            representable = np.array_equal(rounded(a), a) and a.size > 1
        close = bool(np.all(off <= _ULPS * unit * greatest))
        if not close:
            continue
        for operand in suspect.real:
            with np.errstate(all="ignore"):
                values = suspect.numeric(arrays={operand: rounded(suspect.exact[operand])}, only_plausible=False)
            says = f"{suspect.what} is that of {operand} rounded to {name}"
            yield Prediction(values, f"a = n at {name}({operand})", says, _LOOK)
        near = bool(np.all(off <= 4 * unit * np.abs(suspect.n[where]) + suspect.bar[where]))
        if representable or (near and not _is_homogeneous(suspect)):
            yield Prediction(
                np.where(where, suspect.a, suspect.n),
                f"a = {name}(n)",
                f"{suspect.what} is the right one, rounded to {name}",
                _LOOK,
                certain=True,
            )
            return


def _is_homogeneous(suspect: Suspect) -> bool:
    """Whether a goes with the upstream gradient to the last digits."""
    there = suspect.gradients(tuple(_MULTIPLE * dy for dy in suspect.upstream)).get(suspect.operand)
    a = suspect.a[suspect.clear]
    return there is not None and np.allclose(there[suspect.clear] / _MULTIPLE, a, rtol=1e-12, atol=0)


ASKED = ((190, predict),)
