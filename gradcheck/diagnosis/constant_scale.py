"""The gradient is a constant times the right one.

## What it is
a = k n for every entry, with one k that is not 1. k is read in terms of the sizes of the layer and its data - N, 1/N, a
width, a window, √d, an option - and the reading is confirmed with another number of samples: so that a batch size is
not confused with a width that happens to be equal.

## Why it is bad
The direction is right, the length of the step is not: training works, with a learning rate that nobody has chosen, and
that changes with the batch size where k does.

## Typical causes
The division by N of a mean is missing, or made twice; a sum where a mean is declared; the 2 of a square; an attention's
1/√d; a constant of forward (a slope, a dropout's 1/(1 - p)) that backward leaves out.

## How to repair
Write down what forward divides and multiplies by, and look for it in backward: once, and in one place.

## How to silence
`--ignore GC101`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from gradcheck.diagnosis._fit import Reading, digits, factor, number, readings
from gradcheck.diagnosis._inside import Tried, folded, predicted, replaced
from gradcheck.diagnosis._prediction import Prediction, fits
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._tracing import Seen
from gradcheck.suspect import Suspect

CODE = "GC101"
#: A factor that is as near to -1 is one: that is another mistake.
_CLOSE = 1e-9


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """k n."""
    k = factor(suspect, suspect.n)
    if not math.isfinite(k) or k == 0 or abs(k + 1) < _CLOSE or not fits(suspect, k * suspect.n):
        return
    others = {}
    for other in (suspect.drawn(1), suspect.larger()):
        there = _factor(other)
        if there is not None:
            others[other] = there
    found, elsewhere = _read(suspect, k, others)
    constant = all(abs(there - k) <= 1e-6 * abs(k) for there in others.values())
    if not found and not (constant and len(others) == 2):
        return
    how_closely = digits(suspect, k * suspect.n)
    exactly = f"{suspect.what} is {number(k)} × the numeric one, to {how_closely} digits"
    larger = suspect.count + 1
    last = list(others.values())[-1] if len(others) == 2 else None
    then = f" (with N = {larger} the factor is {number(last)}{elsewhere})" if last is not None else ""
    if found:
        says = f"{exactly}{''.join(f'; {said}' for said in _said(k, found))}{then}"
        formula = f"a = {found[0].formula} n" if found[0].formula else "a = k n"
    else:
        says = f"{exactly}; that is no size of the layer or its data{then}"
        formula = f"a = {number(k)} n"
    yield Prediction(
        k * suspect.n, formula, says, _look(found[0].formula if found else "", k), free=1, fixed=True, certain=True
    )


def _factor(suspect: Suspect) -> float | None:
    """k of a suspect, where it has one."""
    k = factor(suspect, suspect.n)
    return k if math.isfinite(k) and fits(suspect, k * suspect.n) else None


def _read(suspect: Suspect, k: float, others: dict[Suspect, float]) -> tuple[list[Reading], str]:
    """What k is read as, and words about other sizes if they have told several readings apart."""
    found = readings(suspect, k, others)
    resized = suspect.resized if found else None
    there = _factor(resized) if resized is not None else None
    if resized is None or there is None:
        return found, ""
    still = readings(suspect, k, {**others, resized: there})
    if not still or still == found:
        return found, ""
    shape = resized.arrays[resized.inputs[0]].shape
    return still, f", and with an input of shape {shape}, drawn for this layer, {number(there)}"


def _said(k: float, found: Sequence[Reading]) -> list[str]:
    """What k is, in one way or several; a number alone says nothing more."""
    said = []
    for reading in found:
        if reading.words:
            value = "" if reading.plain else f"{reading.formula}, "
            said.append(f"{number(k)} is {value}{' and '.join(reading.words)}")
    if len(said) < len(found) and said:
        said.append(f"or {number(k)} as it is")
    return said


def _look(formula: str, k: float) -> str:
    if "N" in formula and not formula.startswith("1 /"):
        return "the division by N of a mean is missing in backward, or a sum is used where a mean is declared"
    if "N" in formula:
        return "backward divides by N once more than forward does: a mean is taken of what is a sum"
    if formula in ("2", "4"):
        return "a path is counted twice, or a factor is applied twice"
    if formula == "0.5":
        return "the 2 of a square is missing, or a path is halved"
    if abs(k) > 1:
        return "backward lacks a division that forward has, or adds up where forward takes a mean"
    return "backward lacks a factor that forward has, or divides where forward does not"


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n with a factor for the slope of one operation inside of forward: 2, 1/2, the numbers of a mean."""
    yield from predicted(suspect, _factors)


def _factors(site: Site, seen: Seen) -> Iterator[Tried]:
    if site.operation in ("multiply", "divide") and seen.chain and seen.moving != {1, 0}:
        yield (
            replaced(site, seen, 1, lambda u, y, r: np.ones_like(u)),
            f"a = n without the factor of `{site.short}`",
            f"the derivative of {site.words} ({site.operation}) lacks the factor that is there",
            "backward lacks a factor that forward has there",
        )
    for factor_ in dict.fromkeys((2.0, 0.5, float(seen.fold), 1.0 / seen.fold)):
        if factor_ != 1:
            yield (
                folded(site, factor_),
                f"a = n with {number(factor_)} × the slope of `{site.short}`",
                f"the derivative of {site.words} ({site.operation}) is {number(factor_)} × the right one",
                "backward lacks a factor that forward has there, or has one too much",
            )


ASKED = ((30, predict), (154, inside))
