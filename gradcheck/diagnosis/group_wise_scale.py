"""Parts of the gradient are scaled by factors of their own.

## What it is
a = Σᵢ cᵢ nᵢ, with nᵢ the numeric contribution of one sample, of one output unit or of one place; or a = cᵢ n in every
slice of the tensor. c says which mistake it is: one 1 among zeros - only that sample counts; weights, or their
inverses; 1/(number of a group's members) - a mean of means.

## Why it is bad
Some samples, outputs or places train the network more than others, or alone.

## Typical causes
`=` for `+=` in a loop over samples; an index that is left from an earlier line; the first output followed alone; a mean
taken group by group; weights that are applied twice or in one direction only.

## How to repair
Look for the sum over the axis that the report names: every member must be added up, with the factor that forward gives.

## How to silence
`--ignore GC103`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnosis._fit import solve
from gradcheck.diagnosis._inside import Tried, in_round, predicted
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._tracing import Seen
from gradcheck.suspect import Suspect

Array = NDArray[Any]
CODE = "GC103"
_CLOSE = 1e-5


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """By groups of outputs first, then by slices of the tensor itself."""
    yield from _by_outputs(suspect.small if suspect.per_sample else suspect)
    yield from _by_slices(suspect)


def _by_outputs(suspect: Suspect) -> Iterator[Prediction]:
    """Σ cᵢ nᵢ over samples, or over the slices of another axis of the output."""
    if not suspect.affordable or len(suspect.upstream) > 1 or suspect.upstream[0].ndim == 0:
        return
    dy = suspect.upstream[0]
    products = (suspect.jacobian * suspect.flat_upstream[:, None]).reshape(*dy.shape, -1)
    a = suspect.a.reshape(-1)[suspect.columns]
    for axis in range(dy.ndim):
        groups = np.moveaxis(products, axis, 0).reshape(dy.shape[axis], -1, products.shape[-1]).sum(axis=1).T
        if groups.shape[1] < 2 or np.count_nonzero(np.any(groups, axis=1)) <= groups.shape[1]:
            continue
        c, values = solve(groups, a)
        what = ("samples", "one sample") if axis == 0 else (f"outputs along axis {axis}", "one of them")
        yield Prediction(
            suspect.unflat(values), _formula(c), _says(suspect, c, what), _LOOK[_kind(c)], suspect, groups.shape[1]
        )


def _by_slices(suspect: Suspect) -> Iterator[Prediction]:
    """cᵢ n in the slices of each axis of the tensor."""
    a, n = np.where(suspect.clear, suspect.a, 0.0), np.where(suspect.clear, suspect.n, 0.0)
    for axis in range(n.ndim):
        others = tuple(k for k in range(n.ndim) if k != axis)
        total = (n * n).sum(axis=others, keepdims=True)
        c = np.divide((a * n).sum(axis=others, keepdims=True), total, out=np.ones_like(total), where=total > 0)
        enough = np.count_nonzero(n, axis=others)
        if n.shape[axis] < 2 or np.max(enough, initial=0) < 2:
            continue
        what = ("samples", "one sample") if axis == 0 and suspect.per_sample else (f"slices of axis {axis}", "one")
        yield Prediction(
            c * n, _formula(c.ravel()), _says(suspect, c.ravel(), what), _LOOK[_kind(c.ravel())], free=n.shape[axis]
        )


_LOOK = {
    "one": "`=` where `+=` is meant, an index left over from a loop, or a slice where the whole is meant",
    "some": "a sum that leaves out some of its terms, or a mask in backward alone",
    "shares": "a mean taken group by group, or weights that one of the two directions does not apply",
}


def _kind(c: Array) -> str:
    ones = np.abs(c - 1) <= _CLOSE
    zeros = np.abs(c) <= _CLOSE
    if np.all(ones | zeros):
        return "one" if ones.sum() == 1 else "some"
    return "shares"


def _formula(c: Array) -> str:
    shown = np.where(np.abs(c) <= _CLOSE, 0.0, c)
    return "a = Σ cᵢ nᵢ, c = (" + ", ".join(f"{x:.3g}" for x in shown[:5]) + (", ...)" if c.size > 5 else ")")


def _says(suspect: Suspect, c: Array, what: tuple[str, str]) -> str:
    kind = _kind(c)
    ones = np.flatnonzero(np.abs(c - 1) <= _CLOSE)
    many = what[0]
    gradient = f"{suspect.what}"
    if kind == "one":
        at = int(ones[0])
        last = "the last" if at == c.size - 1 else ("the first" if at == 0 else f"number {at}")
        return f"{gradient} is made of {last} of the {c.size} {many} alone"
    if kind == "some":
        return f"{gradient} is made of {ones.size} of the {c.size} {many} alone: {ones[:6].tolist()}"
    shown = ", ".join([*(f"{x:.4g}" for x in c[:4]), *(["..."] if c.size > 4 else [])])
    return f"in {gradient} the {many} count with factors of their own ({shown}) instead of 1"


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n of the first or the last round of a loop alone."""
    yield from predicted(suspect, _rounds)


def _rounds(site: Site, seen: Seen) -> Iterator[Tried]:
    for operand in sorted(seen.given) if seen.rounds > 1 else ():
        for which, number in (("first", 0), ("last", seen.rounds - 1)):
            yield (
                in_round(site, operand, number),
                f"a = n of the {which} round of `{site.short}`",
                f"only the {which} of the {seen.rounds} uses of {site.words} counts, where all are to be added up",
                _LOOK["one"],
            )


ASKED = ((60, predict), (156, inside))
