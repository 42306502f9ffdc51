"""The gradient has the wrong sign, everywhere or in a part.

## What it is
a = -n; or |a| = |n| with another sign where the input is negative, or in some slices of the tensor.

## Why it is bad
A step goes up instead of down. Where other layers are right, the loss still falls, in spite of this one.

## Typical causes
A minus of the chain rule: d(1/x), d cos x, d(a - b)/db, target - prediction for prediction - target. For negative
inputs alone: the sign(x) of a derivative of |x|.

## How to repair
Differentiate the formula of forward by hand for one entry and compare the sign with that of the table.

## How to silence
`--ignore GC102`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._inside import Tried, predicted, replaced, scaled
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._tracing import Seen
from gradcheck.suspect import Suspect

CODE = "GC102"
_LOOK = "a minus sign of the chain rule, or the order of a difference"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """-n, then n with the sign of x, then n with another sign in some slices."""
    n = suspect.n
    what = f"{suspect.what}"
    yield Prediction(-n, "a = -n", f"{what} is the numeric one with the opposite sign in every entry", _LOOK)
    yield Prediction(np.abs(n), "a = |n|", f"{what} has lost its sign", "an absolute value, a square or a norm")
    yield Prediction(-np.abs(n), "a = -|n|", f"{what} has lost its sign", "an absolute value, a square or a norm")
    for name in suspect.real:
        x = suspect.exact[name]
        if x.shape == n.shape and (x < 0).any() and (x > 0).any():
            where = f"where {name} is negative"
            yield Prediction(
                np.where(x < 0, -n, n),
                f"a = n sign({name})",
                f"{what} has the opposite sign {where}",
                "a factor sign(x) of the derivative is missing or too much",
            )
            yield Prediction(
                np.where(x > 0, -n, n),
                f"a = -n sign({name})",
                f"{what} has the opposite sign where {name} is positive",
                "a factor sign(x) of the derivative is missing or too much",
            )
    for axis in range(n.ndim):
        others = tuple(k for k in range(n.ndim) if k != axis)
        wrong = suspect.wrong.any(axis=others, keepdims=True)
        if wrong.any() and not wrong.all():
            at = np.flatnonzero(wrong).tolist()
            yield Prediction(
                np.where(wrong, -n, n),
                f"a = -n in the slices {at} of axis {axis}",
                f"{what} has the opposite sign in the slices {at} of axis {axis}",
                _LOOK,
                free=n.shape[axis],
            )


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n with the opposite sign for the slope of one operation inside of forward."""
    yield from predicted(suspect, _signs)


def _signs(site: Site, seen: Seen) -> Iterator[Tried]:
    if site.operation == "absolute":
        yield (
            replaced(site, seen, 1, lambda u, y, r: np.ones_like(u)),
            f"a = n without the sign of `{site.short}`",
            f"the sign is missing that is the derivative of {site.words}",
            _LOOK,
        )
    for operand in sorted(seen.moving):
        which = f" by its operand {operand + 1}" if len(seen.moving) > 1 else ""
        yield (
            scaled(site, operand, -1.0),
            f"a = n, the slope of `{site.short}`{which} with the opposite sign",
            f"the derivative of {site.words}{which} ({site.operation}) has the opposite sign",
            _LOOK,
        )


ASKED = ((31, predict), (153, inside))
