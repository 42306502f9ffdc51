"""What a gradient is if one operation inside of forward is differentiated wrongly.

Many layers are made of others: the gates of a recurrence, the statistics of a normalisation, the scores of an
attention. A mistake in one of these shows in all gradients before it, as a mess. Here forward itself says what it is
made of, and each operation is differentiated wrongly in turn, at every call of it: whatever meets the analytic gradient
along a random direction is a prediction, and is held against it entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from gradcheck.alone import Alone
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._tracing import Call, Machine, Mistake, Seen, Tracer
from gradcheck.suspect import Suspect

Array = NDArray[Any]
#: Operations that are called for one question about one operand, at most.
_MOST_CALLS = 2**15
#: How closely the slope along a direction must meet, to be looked at entry by entry.
_CLOSE = 1e-7
_MOST_ENTRIES = 64
#: Operands of a layer for which all operations are tried in vain: the others are asked about known mistakes alone.
_IN_VAIN = 2
#: A mistake, its formula, what it says, and what to look at.
Tried = tuple[Mistake, str, str, str]
Asked = Callable[[Site, Seen], Iterator[Tried]]


class _Known(Struct):
    """What is known about a layer from its other operands: mistakes that were found, and how often none was."""

    found: list[tuple[Asked, Tried]] = field(default_factory=list)
    in_vain: dict[Asked, int] = field(default_factory=dict)


_layers: WeakKeyDictionary[Alone, dict[str, _Known]] = WeakKeyDictionary()


def predicted(suspect: Suspect, mistakes: Asked) -> Iterator[Prediction]:
    """What the mistakes at every operation of forward predict, where that is worth a look.

    A layer has one mistake more often than several: those that were found for one of its operands are tried first.
    """
    small = suspect.small
    known = _layers.setdefault(suspect.alone, {}).setdefault(suspect.part.name, _Known())
    for asked, tried in known.found:
        if _meets(small, tried[0]):
            if asked is mistakes:
                yield _prediction(suspect, small, tried)
            return
    if known.in_vain.get(mistakes, 0) >= _IN_VAIN:
        return
    known.in_vain[mistakes] = known.in_vain.get(mistakes, 0) + 1
    missed = _missed(small)
    for tried in _tried(small, mistakes):
        if tried[0] in missed:
            continue
        if _meets(small, tried[0]):
            known.in_vain[mistakes] = 0
            known.found.append((mistakes, tried))
            yield _prediction(suspect, small, tried)
        else:
            missed.add(tried[0])


def _prediction(suspect: Suspect, small: Suspect, tried: Tried) -> Prediction:
    mistake, formula, says, look = tried
    return Prediction(_values(small, mistake), formula, f"in {suspect.what} {says}", look, small)


def _tried(suspect: Suspect, mistakes: Asked) -> Iterator[Tried]:
    surveyed = _survey(suspect)
    left = _MOST_CALLS
    for site, seen in surveyed.seen.items():
        for tried in mistakes(site, seen):
            left -= surveyed.calls
            if left < 0:
                return
            yield tried


@lru_cache(maxsize=4)
def _machine(suspect: Suspect) -> Machine:
    return Machine.of(suspect.local.forward, suspect.exact, suspect.operand, suspect.local.complex_safe)


@lru_cache(maxsize=4)
def _missed(suspect: Suspect) -> set[Mistake]:
    """Mistakes that do not meet, as several hypotheses try the same."""
    return set()


@lru_cache(maxsize=4)
def _survey(suspect: Suspect) -> Tracer:
    """The operations that the operand's derivative passes, and how many calls one run of forward has."""
    with suppress(Exception), np.errstate(all="ignore"):
        found, tracer = _machine(suspect).run(suspect.directions[0].reshape(suspect.array.shape))
        right, expected = float(suspect.flat_upstream @ found), float(suspect.flat_upstream @ suspect.tangents[0])
        if abs(right - expected) <= _CLOSE * abs(expected):
            return tracer
    return Tracer()


def _meets(suspect: Suspect, mistake: Mistake) -> bool:
    """Whether the analytic gradient along a random direction is what the mistake gives."""
    v = suspect.directions[0]
    a = float(np.where(v != 0, suspect.a.reshape(-1), 0.0) @ v)
    with suppress(Exception), np.errstate(all="ignore"):
        calls = _survey(suspect).rounds_of(mistake.site)
        moved, _ = _machine(suspect).run(v.reshape(suspect.array.shape), mistake, calls)
        found = float(suspect.flat_upstream @ moved)
        return bool(abs(found - a) <= _CLOSE * max(abs(a), abs(found)))
    return False


def _values(suspect: Suspect, mistake: Mistake) -> Array:
    """The gradient that the mistake gives, entry by entry; NaN for those that are left out."""
    found = np.full(suspect.array.size, np.nan)
    calls = _survey(suspect).rounds_of(mistake.site)
    known = suspect.glanced if suspect.columns.size > _MOST_ENTRIES else suspect.columns
    for entry in suspect.columns if known is None else known:
        basis = np.zeros(suspect.array.shape)
        basis.flat[entry] = 1.0
        with np.errstate(all="ignore"):
            found[entry] = suspect.flat_upstream @ _machine(suspect).run(basis, mistake, calls)[0]
    return found.reshape(suspect.array.shape)


# Other slopes ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2**10)
def scaled(site: Site, operand: int, factor: float) -> Mistake:
    """The slope by one operand, times a factor: 0 for a constant, -1 for the opposite sign."""

    def operands(call: Call) -> dict[int, Array]:
        delta = call.deltas[operand]
        return {} if delta is None else {operand: factor * delta}

    return Mistake(site, operands=operands)


def in_round(site: Site, operand: int, number: int) -> Mistake:
    """An operand that moves in one round of a loop alone."""

    def operands(call: Call) -> dict[int, Array | None]:
        return {} if call.round == number else {operand: None}

    return Mistake(site, operands=operands)


#: Whatever comes from an earlier round of a loop is a constant.
CUT = Mistake(None, operands=lambda call: dict.fromkeys(call.carried))


def folded(site: Site, factor: float) -> Mistake:
    """The slope of a result times a factor."""
    return Mistake(site, result=lambda call, y, delta: factor * delta)


def replaced(site: Site, seen: Seen, back: int, slope: Callable[[Array, Array, Array], Array]) -> Mistake:
    """Another slope for the last operations of one number each: a function of their input, their output, and the right
    slope."""

    def result(call: Call, y: Array, delta: Array) -> Array:
        if len(call.chain) < back:
            return delta
        first = call.chain[back - 1]
        right = np.divide(delta, first.delta, out=np.zeros(y.shape), where=first.delta != 0)
        return np.asarray(first.delta * slope(first.base, y, right))

    return Mistake(site, result=result, through=seen.through if back > 1 else frozenset())


def transposed(site: Site, operand: int) -> Mistake:
    """A product with a square matrix whose transpose is taken where the other factor moves."""

    def result(call: Call, y: Array, delta: Array) -> Array:
        left, right = call.bases[:2]
        move = call.deltas[operand]
        if move is None:
            return delta
        if operand == 0:
            return np.asarray(delta + move @ (np.swapaxes(right, -1, -2) - right))
        return np.asarray(delta + (np.swapaxes(left, -1, -2) - left) @ move)

    return Mistake(site, result=result)
