"""The numeric gradient of one tensor: a value and an error for every entry, from the forward alone.

Real schemes, with D(h) the scheme at step h, s the noise of a difference (see the ladder of steps):

    value  = D(h)          error = 2 |D(h) - D(2h)|   +  s
                                   truncation            noise of forward, rounding of x + h

The step is the usual one of the scheme, or where that is not sharp the one that errs least on a few entries of the
tensor. Where a perturbation leaves the piece or the
domain that the point lies in, the step is shortened, not the point moved.

The complex step has no truncation and no cancellation; with gᵢ the gradients of the samples and s the greatest change
of some entries when every number moves by one unit in the last place, or is computed in a wider precision:

    error = 16 u Σ|gᵢ| + 64 u max|g| + 10 s + 2²⁰ η / h          η the smallest number, which Im f = h g may lose

In a wider precision it is the same with the change s there, for entries that change anything at all. u stays that of
float64: constants in a forward, and approximations, are good to so many digits and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients._moves import moved, wider
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import LEAST_ORDER, Question, Rungs, climb, ladder_steps, plateau
from gradcheck.gradients.numeric.schemes import ONE_SIDED, SCHEMES, Scheme, step_for
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.network import Point

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
_UNDERFLOW = 2.0**20 * float(np.finfo(np.float64).smallest_subnormal)
_SAMPLED = 6
#: How many entries of a tensor choose its step, and the error, relative to them, with which they are content.
_CHOOSING, _SHARP = 6, 1e-8
#: A complex step whose truncation is nothing beside that of the usual one.
_SHORT = 2.0**-20
#: Shorter steps, relative to the first, where that one leaves the domain of the forward.
SHORTER = (2.0**-10, 2.0**-20)
#: The same where it leaves the smooth piece of a function that has kinks.
_WITHIN_A_PIECE = (2.0**-8, 2.0**-16)


class Estimate(Struct, frozen=True):
    """The numeric gradient of one tensor, by one scheme. All arrays have the tensor's shape.

    step       the usual step
    value      the derivative of the objective
    error      how far it may be off
    magnitude  Σ over samples of |derivative|: what rounding errors are proportional to
    kink       whether the entry's perturbation by the usual step met a point without a derivative
    inside     whether that was so, but not by the shorter step that value and error are from
    reduced    the derivative under each column of weights that was asked for, by its key
    checked    which entries were evaluated; the others are 0
    """

    scheme: str
    step: float
    value: Array
    error: Array
    magnitude: Array
    kink: Array
    inside: Array
    reduced: Mapping[Any, Array]
    checked: Array

    @property
    def greatest(self) -> float:
        """The greatest size of the entries that are finite."""
        sizes = np.abs(self.value)
        return float(np.max(sizes[np.isfinite(sizes)], initial=0.0))

    @property
    def underflow(self) -> float:
        """Below this a derivative may have vanished in Im f = h g."""
        return _UNDERFLOW / self.step if SCHEMES[self.scheme].is_complex else 0.0


def chosen_step(stage: Stage, name: str, scheme: Scheme, question: Question, watch: KinkWatch | None = None) -> float:
    """The scheme's usual step where that is sharp on a few entries of the tensor; else the one that errs least there.

    A power of two. Where no entry's ladder settles on anything but 0 it is the usual step, too.
    """
    usual = step_for(scheme, stage.arrays[name])
    some = _spaced(stage.arrays[name].size, _CHOOSING)
    first = _at(stage, name, scheme, question, usual, some, watch)
    error, size = (np.abs(part).reshape(-1)[some] for part in (first.error, first.value))
    if np.median(error) <= _SHARP * np.max(size, initial=0.0):
        return usual
    steps = ladder_steps(stage.arrays[name])
    found = plateau(climb(stage, name, some, scheme, question, steps, watch))
    best = steps[found.rung[np.abs(found.value) > found.error]]
    return float(2.0 ** np.round(np.median(np.log2(best)))) if best.size else usual


def estimate(
    stage: Stage,
    name: str,
    scheme: Scheme,
    question: Question,
    watch: KinkWatch | None = None,
    step: float | None = None,
    entries: Array | None = None,
    tick: Callable[[int], None] | None = None,
    sweep: Callable[..., Rungs] = climb,
    greatest: float = 0.0,
) -> Estimate:
    """Differentiate by every entry of the named array, or by some (flat indices).

    tick is called now and then with the number of entries that are done.
    sweep takes the place of `climb` for the one long evaluation, that of all entries at the usual step.
    greatest is that of all entries, where it is known already and only some are asked for.
    """
    array = stage.arrays[name]
    if step is None:
        step = step_for(scheme, array) if scheme.is_complex else chosen_step(stage, name, scheme, question, watch)
    flat = np.arange(array.size) if entries is None else np.unique(entries)
    found = _at(stage, name, scheme, question, step, flat, watch, tick, sweep)
    if scheme.is_complex:
        return _with_rounding(stage, name, question, found, greatest)
    found = _one_sided(stage, name, question, watch, found)
    for factor in SHORTER:
        outside = np.flatnonzero(found.checked & ~np.isfinite(found.value + found.error))
        if outside.size:
            shorter = _at(stage, name, scheme, question, factor * step, outside, watch)
            found = _merged(found, shorter, shorter.checked)
    for factor in _WITHIN_A_PIECE:
        met = np.flatnonzero(found.kink & ~found.inside)
        if met.size:
            shorter = _at(stage, name, scheme, question, factor * step, met, watch)
            within = shorter.checked & ~shorter.kink & np.isfinite(shorter.value + shorter.error)
            found = replace(_merged(found, shorter, within), kink=found.kink, inside=found.inside | within)
    return found


def _one_sided(stage: Stage, name: str, question: Question, watch: KinkWatch | None, found: Estimate) -> Estimate:
    """Entries whose step leaves the domain of the forward, by steps to the other side alone."""
    for scheme in ONE_SIDED:
        outside = np.flatnonzero(found.checked & ~np.isfinite(found.value + found.error))
        if outside.size:
            h = step_for(scheme, stage.arrays[name])
            other = _at(stage, name, scheme, question, h, outside, watch)
            found = _merged(found, other, other.checked & np.isfinite(other.value + other.error))
    return found


def _at(
    stage: Stage, name: str, scheme: Scheme, question: Question, h: float, entries: Array,
    watch: KinkWatch | None = None, tick: Callable[[int], None] | None = None, sweep: Callable[..., Rungs] = climb,
) -> Estimate:  # fmt: skip
    """The scheme at step h, its truncation from 2h."""
    steps = np.array([h] if scheme.is_complex else [2 * h, h])
    rungs = sweep(stage, name, entries, scheme, question, steps, watch, tick)
    error = np.zeros(len(entries))
    if not scheme.is_complex:
        error = 2 * np.abs(rungs.values[1] - rungs.values[0]) / (2.0**LEAST_ORDER - 1) + rungs.noise[1]
    return _spread_out(stage, name, scheme, h, entries, rungs, error)


def _spread_out(
    stage: Stage, name: str, scheme: Scheme, h: float, entries: Array, rungs: Rungs, error: Array
) -> Estimate:
    shape = stage.arrays[name].shape

    def over(values: Array) -> Array:
        full = np.zeros(stage.arrays[name].size, dtype=values.dtype)
        full[entries] = values
        return full.reshape(shape)

    return Estimate(
        scheme=scheme.name,
        step=h,
        value=over(rungs.values[-1]),
        error=over(error),
        magnitude=over(rungs.magnitude),
        kink=over(np.asarray(rungs.kink.any(axis=0))),
        inside=np.zeros(shape, dtype=bool),
        reduced={key: over(values) for key, values in rungs.reduced.items()},
        checked=over(np.full(len(entries), True)),
    )


def _merged(found: Estimate, other: Estimate, where: Array) -> Estimate:
    """The first estimate, but for the entries at which the other one is better."""

    def chosen(first: Array, second: Array) -> Array:
        return np.where(where, second, first)

    return replace(
        found,
        value=chosen(found.value, other.value),
        error=chosen(found.error, other.error),
        magnitude=chosen(found.magnitude, other.magnitude),
        kink=chosen(found.kink, other.kink),
        reduced={key: chosen(found.reduced[key], other.reduced[key]) for key in found.reduced},
    )


@cache
def _spaced(size: int, count: int) -> Array:
    return np.unique(np.linspace(0, size - 1, min(count, size)).astype(int))


def _with_rounding(stage: Stage, name: str, question: Question, found: Estimate, greatest: float) -> Estimate:
    """The error of a complex step, with its rounding measured on some entries; the greatest may be none of them."""
    flat = np.abs(found.value).reshape(-1)
    sampled = np.union1d(_spaced(flat.size, _SAMPLED), np.argsort(flat)[-2:])
    sampled = sampled[(found.checked & ~found.kink).reshape(-1)[sampled]]
    change = max(_nearby(stage, name, question, found, sampled), default=0.0)
    greatest = float(np.max(flat, initial=greatest))
    error = 16 * _UNIT * found.magnitude + 64 * _UNIT * greatest + 10 * change + found.underflow
    return replace(found, error=error)


def _nearby(stage: Stage, name: str, question: Question, found: Estimate, sampled: Array) -> Iterator[float]:
    """How the sampled entries change when every number moves by one unit in the last place, when every activation is
    rounded once more, in a wider precision, and by a shorter step, which has less of h² f‴ / 6. All but the second are
    asked of copies that go through every forward: so it is seen, too, if what is read off slopes is something else.

    A move may leave the branch of a layer that does not say where it has kinks, so only the usual change counts there;
    a wider precision takes the same branches.
    """
    if not sampled.size:
        return
    at = found.value.reshape(-1)[sampled]

    def again(other: Stage, step: float = found.step) -> Array:
        values: Array = climb(other, name, sampled, SCHEMES[found.scheme], only, np.array([step])).values[-1]
        change: Array = np.abs(values - at)
        return change

    only = replace(question, others={})
    for near in _near(stage):
        with suppress(LayerFailure):
            yield _median(again(near))
    yield float(np.max(again(stage.beside(_same), _SHORT * found.step)))
    with suppress(Exception):
        yield float(np.max(again(stage.beside(wider))))


def _median(values: Array) -> float:
    """What np.median says, which takes ten times as long for so few numbers."""
    ordered, half = np.sort(values), len(values) // 2
    middle = ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return float(ordered[-1] if np.isnan(ordered[-1]) else middle)


def in_wider_precision(stage: Stage) -> Stage | None:
    """The network at the same point in long double; None where it fails there, answers in another precision, or there
    is no wider one."""
    if np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
        return None
    with suppress(Exception):
        wide = stage.beside(wider)
        return None if any(array.dtype == np.float64 for array in wide.arrays.values()) else wide
    return None


def estimate_in_wider_precision(
    stage: Stage, name: str, question: Question, found: Estimate, entries: Array
) -> Estimate | None:
    """The complex step of some entries (flat indices), in long double.

    found  the estimate of the tensor, which knows its greatest entry

    None where a forward may not compute in it all the way, as one of somebody else: its rounding is not seen.
    """
    wide = in_wider_precision(stage)
    trusted = all(n.trusted for n in stage.network.nodes) and all(t.trusted for t in stage.network.terms)
    if wide is None or not trusted:
        return None
    scheme, only = SCHEMES["complex"], replace(question, others={})
    h = step_for(scheme, stage.arrays[name])

    def at(other: Stage) -> Rungs:
        return climb(other, name, entries, scheme, only, np.array([h]))

    with suppress(Exception):
        rungs = at(wide)
        changes = [np.abs(at(near).values[-1] - rungs.values[-1]) for near in _near(wide)]
        s = np.where(rungs.magnitude > 0, np.max(changes), 0.0)
        error = 16 * _UNIT * rungs.magnitude + 64 * _UNIT * found.greatest + 10 * s + _UNDERFLOW / h
        return _spread_out(stage, name, scheme, h, entries, rungs, error)
    return None


def _near(stage: Stage) -> Iterator[Stage]:
    """Beside the point, and where every activation is rounded once more; not where that leaves the domain."""
    for beside in (*(partial(stage.beside, move) for move in _MOVES), *(partial(stage.rounded, k) for k in _ROUNDED)):
        with suppress(LayerFailure):
            yield beside()


def _same(point: Point) -> Point:
    return point


def _moved(seed: int, point: Point) -> Point:
    return point.map(lambda array: moved(array, seed))


#: To two points beside, one unit in the last place of every number away.
_MOVES = (partial(_moved, 1), partial(_moved, 2))
#: And where every activation is rounded once more: some roundings keep pace with every move of the point.
_ROUNDED = (1, 2)
