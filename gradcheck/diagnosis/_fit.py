"""Factors: how they are fitted, and how they are read in terms of the sizes of the layer and its data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.suspect import Suspect

Array = NDArray[Any]
#: How closely a factor must meet what it is read as; along differences it is known no better than they are.
_CLOSE, _CLOSE_DIFFERENCES = 1e-9, 1e-5
_MOST_READINGS = 3


def factor(suspect: Suspect, values: Array) -> float:
    """k that makes k × values come nearest to a, where both are known; NaN where the values are 0."""
    where = suspect.clear & np.isfinite(values)
    v, a = values[where], suspect.a[where]
    total = float(v @ v)
    return float(a @ v) / total if total else math.nan


class Size(Struct, frozen=True):
    """A number that a factor may be made of.

    words    `N, the batch size`
    value    of this suspect
    """

    words: str
    value: float


class Reading(Struct, frozen=True):
    """What a factor may be: `N`, `1 / (N × D)`. `value` of other data is that of the same names there.

    cost   how far-fetched it is
    plain  whether it is a size as it is
    """

    formula: str
    words: tuple[str, ...]
    value: float
    cost: float
    plain: bool = False


def readings(suspect: Suspect, k: float, others: Mapping[Any, float]) -> list[Reading]:
    """All that k may be, the simplest first; `others` are suspects of the same part and their factors.

    Of several that fit only the simplest are left: a product is not read where one size alone will do.
    """
    everything = {r.formula: r for r in _readings(suspect)}
    found = [r for r in everything.values() if _meets(suspect, k, r.value)]
    for other, k_other in others.items():
        there = {r.formula: r.value for r in _readings(other)}
        found = [r for r in found if r.formula in there and _meets(suspect, k_other, there[r.formula])]
    found.sort(key=lambda r: (r.cost, len(r.formula), r.formula))
    best = [r for r in found if r.cost <= found[0].cost + 0.5]
    return best[:_MOST_READINGS]


def _meets(suspect: Suspect, k: float, value: float) -> bool:
    close = _CLOSE if suspect.local.complex_safe else _CLOSE_DIFFERENCES
    close = max(close, 2.0**6 * suspect.alone.analytic.units.get(suspect.operand, 0.0))
    return bool(abs(k - value) <= close * abs(value))


def _readings(suspect: Suspect) -> Iterator[Reading]:
    """Sizes, their inverses, roots and neighbours, products and ratios of two of them, with both signs."""
    named = sizes(suspect)
    for sign, minus, more in ((1.0, "", 0.0), (-1.0, "-", 1.0)):
        for symbol, size in named.items():
            for form, value, cost in _forms(symbol, size.value):
                plain = form == symbol and not minus
                words: tuple[str, ...] = (size.words if plain else _with_value(symbol, size),)
                yield Reading(f"{minus}{form}", words, sign * value, cost + more, plain)
        for number in (2.0, 3.0, 4.0, 0.5, 0.25, 1 / 3):
            yield Reading(
                f"{minus}{_number(number)}", (), sign * number, more + (0.15 if number in (2.0, 0.5) else 0.6)
            )
        for (a, left), (b, right) in permutations(named.items(), 2):
            words = tuple(_with_value(x, s) for x, s in ((a, left), (b, right)))
            if a < b:
                yield Reading(f"{minus}{a} × {b}", words, sign * left.value * right.value, 3 + more)
                if left.value * right.value:
                    yield Reading(f"{minus}1 / ({a} × {b})", words, sign / (left.value * right.value), 3 + more)
            if right.value and right.value != left.value:
                yield Reading(f"{minus}{a} / {b}", words, sign * left.value / right.value, 2.6 + more)
        for symbol, size in named.items():
            words = (_with_value(symbol, size),)
            yield Reading(f"{minus}2 {symbol}", words, sign * 2 * size.value, 2 + more)
            if size.value:
                yield Reading(f"{minus}2 / {symbol}", words, sign * 2 / size.value, 2 + more)
                yield Reading(f"{minus}1 / (2 {symbol})", words, sign / (2 * size.value), 2 + more)


def _with_value(symbol: str, size: Size) -> str:
    return f"with {symbol} = {_number(size.value)}, {size.words}"


def _forms(symbol: str, v: float) -> Iterator[tuple[str, float, float]]:
    yield symbol, v, 0.2
    if v:
        yield f"1 / {symbol}", 1 / v, 0.3
    if v > 0:
        yield f"√{symbol}", math.sqrt(v), 0.6
        yield f"1 / √{symbol}", 1 / math.sqrt(v), 0.6
    yield f"{symbol}²", v * v, 1.4
    if v:
        yield f"1 / {symbol}²", 1 / v**2, 1.4
    yield f"({symbol} - 1)", v - 1, 1.6
    yield f"1 - {symbol}", 1 - v, 1.6
    if v not in (0.0, 1.0):
        yield f"1 / ({symbol} - 1)", 1 / (v - 1), 1.8
        yield f"1 / (1 - {symbol})", 1 / (1 - v), 1.6
        yield f"{symbol} / ({symbol} - 1)", v / (v - 1), 1.7
        yield f"({symbol} - 1) / {symbol}", (v - 1) / v, 1.7


def sizes(suspect: Suspect) -> dict[str, Size]:
    """The sizes of a suspect by symbol. Of those that are 1 nothing could be read."""
    found = {"N": Size("the batch size", suspect.count)}
    first = suspect.exact[suspect.inputs[0]]
    y = suspect.outputs[0]
    if first.ndim > 1:
        name = "classes" if suspect.is_loss else "input features"
        found["D"] = Size(f"the last axis of its input ({name})", first.shape[-1])
        found["size"] = Size("the numbers of its input, all samples together", first.size)
        found["size/N"] = Size("the numbers of one sample of its input", first.size / suspect.count)
    if first.ndim > 2:
        found["C"] = Size("axis 1 of its input", first.shape[1])
        found["places"] = Size("the places behind axis 1 of its input", int(np.prod(first.shape[2:])))
    if not suspect.is_loss and y.ndim > 1:
        found["M"] = Size("the last axis of its output", y.shape[-1])
        found["outputs"] = Size("the numbers of one sample of its output", y.size / len(y))
        found["N × outputs"] = Size("the numbers of its output, all samples together", y.size)
    if not suspect.is_loss and y.ndim > 2:
        found["C′"] = Size("axis 1 of its output", y.shape[1])
        found["places′"] = Size("the places behind axis 1 of its output", int(np.prod(y.shape[2:])))
    found |= _of_options(suspect) | _of_data(suspect)
    sized = {symbol: Size(size.words, float(size.value)) for symbol, size in found.items()}
    return {
        symbol: size for symbol, size in sized.items() if size.value not in (0.0, 1.0) and math.isfinite(size.value)
    }


def _of_options(suspect: Suspect) -> dict[str, Size]:
    found = {}
    for name, value in suspect.options.items():
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            found[name] = Size("an option of it", float(value))
            if "kernel" in name or "pool" in name:
                squared = suspect.exact[suspect.inputs[0]].ndim == 4
                found["window"] = Size("the numbers in a window", float(value) ** (2 if squared else 1))
        elif isinstance(value, tuple) and value and all(isinstance(v, int | float) for v in value):
            found[f"Π {name}"] = Size("its option, multiplied up", float(np.prod(value)))
    return found


def _of_data(suspect: Suspect) -> dict[str, Size]:
    """What a mask, weights or ignored targets count to."""
    if not suspect.is_loss:
        return {}
    found = {}
    part: Any = suspect.part
    for local, key in part.data.items():
        array = suspect.exact[key]
        if local == "target":
            ignored = suspect.options.get("ignore_index", -100)
            if array.dtype.kind in "iu":
                found["valid"] = Size("the targets that are not ignored", int(np.sum(array != ignored)))
            continue
        found[f"Σ {local}"] = Size("the sum of them", float(np.sum(array)))
        found[f"n({local})"] = Size("how many of them are not 0", int(np.count_nonzero(array)))
    return found


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"


def number(value: float) -> str:
    """A factor in words: whole numbers whole, others with ten digits at most."""
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-9 and value else f"{value:.6g}"


def digits(suspect: Suspect, values: Array) -> int:
    """To how many digits values meet a."""
    where = suspect.clear & np.isfinite(values)
    off = float(np.max(np.abs(suspect.a - np.where(where, values, 0.0))[where], initial=0.0))
    greatest = float(np.max(np.abs(suspect.a[where]), initial=0.0))
    return 15 if off == 0 or greatest == 0 else int(min(15, max(1, -math.log10(off / greatest))))


def solve(columns: Array, values: Array) -> tuple[Array, Array]:
    """Least squares of values on columns -> (coefficients, what they give)."""
    coefficients, *_ = np.linalg.lstsq(columns, values, rcond=None)
    return coefficients, columns @ coefficients
