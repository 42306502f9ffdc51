"""The derivative of an elementwise map is the wrong function.

## What it is
Both Jacobians are diagonal, and aₖ/nₖ depends on what forward sees at entry k and on nothing else. Named are: the
derivative forgotten (a = g), taken at the output instead of the input, its formula for the output applied to the input,
the derivative of a similar function.

Or it is so for one function inside of forward - a gate, an activation between two products - and the line of forward is
named: every operation there is given another slope in turn, and the one that gives the analytic values is it.

## Why it is bad
It is right where the two derivatives meet - for a tanh near 0 - and wrong where units saturate.

## Typical causes
The upstream gradient handed through; `1 - x²` for `1 - y²`; one of two variants of a function (the two GELUs); one path
of a product rule.

## How to repair
Differentiate forward's formula for one number, and name in backward whether it takes x or y.

## How to silence
`--ignore GC116`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.catalogue import Catalogue
from gradcheck.diagnosis._diagonal import is_diagonal
from gradcheck.diagnosis._inside import Tried, predicted, replaced
from gradcheck.diagnosis._prediction import Prediction, deviation
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._tracing import Seen
from gradcheck.layers._base import Layer
from gradcheck.suspect import Suspect

Array = NDArray[Any]
CODE = "GC116"
_LOOK = "the derivative of forward's formula, and whether it is taken at the input or at the output"
_STEP = 2.0**-18


def known(suspect: Suspect) -> Iterator[Prediction]:
    """g times another function of x."""
    alone = not suspect.is_loss and len(suspect.inputs) == 1 and not suspect.parameters
    if alone and suspect.per_sample and is_diagonal(suspect):
        yield from _known(suspect)


def unknown(suspect: Suspect) -> Iterator[Prediction]:
    """Whatever the ratio is, if it goes with x."""
    if not suspect.is_parameter and suspect.per_sample and is_diagonal(suspect):
        yield from _moves_along(suspect)


def _known(suspect: Suspect) -> Iterator[Prediction]:
    """The functions that are taken for f′."""
    x, y, g = suspect.exact[suspect.operand], suspect.outputs[0], suspect.upstream[0]
    with np.errstate(all="ignore"):
        slope = np.divide(suspect.n, g, out=np.zeros_like(g), where=g != 0)
        at_output = suspect.numeric(arrays={suspect.operand: y}) if y.shape == x.shape else np.full(x.shape, np.nan)
        named: dict[str, tuple[Array, str]] = {
            "1": (np.ones_like(x), "the derivative is forgotten: the upstream gradient is handed on as it is"),
            "f′(y)": (
                np.divide(at_output, g, out=np.zeros_like(g), where=g != 0),
                "the derivative is taken at the output instead of the input",
            ),
            "f(x)": (y, "the function stands where its derivative is meant"),
            "x": (x, "the input stands where the derivative is meant"),
            "y (1 - y)": (y * (1 - y), "the derivative of a sigmoid in terms of its output is used"),
            "1 - y²": (1 - y * y, "the derivative of a tanh in terms of its output is used"),
            "x (1 - x)": (x * (1 - x), "a formula for the output (that of a sigmoid) is applied to the input"),
            "1 - x²": (1 - x * x, "a formula for the output (that of a tanh) is applied to the input"),
            "1 - y": (1 - y, "only 1 - y is left of the derivative"),
            "f′(x)²": (slope * slope, "the derivative is applied twice"),
            "1 / f′(x)": (
                np.divide(1.0, slope, out=np.zeros_like(slope), where=slope != 0),
                "the upstream gradient is divided by the derivative",
            ),
            "f(x) / x": (
                np.divide(y, x, out=np.zeros_like(x), where=x != 0),
                "one path of the product rule is missing",
            ),
            "f′(x) - f(x) / x": (
                slope - np.divide(y, x, out=np.zeros_like(x), where=x != 0),
                "one path of the product rule is missing",
            ),
            "f′(-x)": (
                np.divide(suspect.numeric(arrays={suspect.operand: -x}), g, out=np.zeros_like(g), where=g != 0),
                "the derivative is taken at -x",
            ),
        }
        for name, other in _siblings():
            named[f"{name}′(x)"] = (_slope(other, x), f"the derivative of {name} is used")
        for name, (factor, says) in named.items():
            yield Prediction(g * factor, f"a = g × {name}", f"in {suspect.what} {says}", _LOOK)


@cache
def _siblings() -> tuple[tuple[str, Layer], ...]:
    """The elementwise layers that ship, at their defaults, and the other form of the one that has two."""
    catalogue = Catalogue()
    found: list[tuple[str, Layer]] = []
    for name in catalogue.names("layers"):
        kind: Any = catalogue.find("layers", name)
        if kind.elementwise:
            with suppress(TypeError):  # it has an option that must be given
                found.append((name, kind()))
    gelu: Any = catalogue.find("layers", "gelu")
    return (*found, ("gelu (tanh)", gelu(approximate="tanh")))


def _slope(layer: Layer, x: Array) -> Array:
    h = _STEP * max(1.0, float(np.max(np.abs(x), initial=0.0)))
    with np.errstate(all="ignore"):
        if layer.branches(x) is None:
            try:
                return np.asarray(layer.forward(x + 1e-30j)[0]).imag / 1e-30
            except TypeError:
                pass
        return np.asarray((layer.forward(x + h)[0] - layer.forward(x - h)[0]) / (2 * h))


def _moves_along(suspect: Suspect) -> Iterator[Prediction]:
    """The ratio a/g of every entry, seen again where the samples of all arrays are in another order.

    It moves with the samples whatever it is; so the input alone is moved to places where it meets other upstream
    gradients, which an elementwise map does not mind.
    """
    order = np.roll(np.arange(suspect.count), 1)
    if suspect.count < 2:
        return
    turned = suspect.take(order.tolist())
    other = Suspect(suspect.alone, suspect.part, suspect.operand, turned.arrays, suspect.upstream, suspect.entries)
    g = suspect.upstream[0]
    ratio = np.divide(suspect.a, g, out=np.zeros_like(suspect.a), where=g != 0) if g.shape == suspect.a.shape else None
    if ratio is None:
        per = np.broadcast_to(
            np.asarray(g).reshape((*np.shape(g), *[1] * (suspect.a.ndim - np.ndim(g)))), suspect.a.shape
        )
        ratio = suspect.a / np.where(per == 0, 1.0, per)
        values = ratio[order] * per
    else:
        values = ratio[order] * g
    off, allowed = deviation(other, values)
    if np.any(off > allowed) or not other.wrong.any():
        return
    table = _table(suspect)
    yield Prediction(
        values,
        "aₖ = gₖ r(xₖ), r ≠ f′",
        f"in {suspect.what} the derivative is another function of the entry: {table}",
        _LOOK,
        other,
        certain=True,
    )


def _table(suspect: Suspect) -> str:
    order = np.argsort(np.where(suspect.wrong, -np.abs(suspect.e), 0.0), axis=None)[:3]
    x, a, n = (array.reshape(-1) for array in (suspect.exact[suspect.operand], suspect.a, suspect.n))
    ratios = [f"at {x[k]:.4g} it is {a[k] / n[k]:.4g} × the right one" for k in order if n[k]]
    return ", ".join(ratios) or "where the right one is 0 it is not"


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n with another slope for one elementwise function inside of forward: a gate, an activation."""
    yield from predicted(suspect, _slopes_of)


def _slopes_of(site: Site, seen: Seen) -> Iterator[Tried]:
    for back in range(1, len(seen.chain) + 1):
        first, last = seen.chain[back - 1], seen.chain[0]
        if last in _LINEAR or last in _PIECEWISE or (last == "divide" and seen.moving == {0}):
            continue
        forgotten_alone = back < len(seen.chain) and first in _LINEAR and first != "negative"
        listed = ", ".join(reversed(seen.chain[:back]))
        what = site.words if back == 1 else f"{site.words} (its last operations: {listed})"
        for name, (slope, says) in _INSIDE.items():
            yield (
                replaced(site, seen, back, slope),
                f"a = n with {name} for the slope of `{site.short}`",
                f"the derivative of {what} {says}",
                _LOOK,
            )
            if forgotten_alone:
                break


#: Operations whose slope by the operand that moves does not depend on it.
_LINEAR = ("add", "subtract", "negative", "multiply")
#: Operations whose slope is a sign or a mask: other mistakes.
_PIECEWISE = ("absolute", "where", "maximum", "minimum", "clip")
#: Slopes of y = f(u) by u, and by the right slope r.
_INSIDE: dict[str, tuple[Callable[[Array, Array, Array], Array], str]] = {
    "1": (lambda u, y, r: np.ones_like(u), "is forgotten"),
    "y (1 - y)": (lambda u, y, r: y * (1 - y), "is that of a sigmoid in terms of its output"),
    "1 - y²": (lambda u, y, r: 1 - y * y, "is that of a tanh in terms of its output"),
    "u (1 - u)": (lambda u, y, r: u * (1 - u), "is a sigmoid's formula for the output, applied to the input"),
    "1 - u²": (lambda u, y, r: 1 - u * u, "is a tanh's formula for the output, applied to the input"),
    "σ′(y)": (lambda u, y, r: _sigmoid(y) * (1 - _sigmoid(y)), "is taken at the output instead of the input"),
    "tanh′(y)": (lambda u, y, r: 1 - np.tanh(y) ** 2, "is taken at the output instead of the input"),
    "y": (lambda u, y, r: y, "is the function itself"),
    "u": (lambda u, y, r: u, "is the input itself"),
    "1 - y": (lambda u, y, r: 1 - y, "is only 1 - y"),
    "f′²": (lambda u, y, r: r * r, "is applied twice"),
    "1 / f′": (lambda u, y, r: 1 / r, "is divided by"),
}


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


ASKED = ((36, known), (147, inside), (148, unknown))
