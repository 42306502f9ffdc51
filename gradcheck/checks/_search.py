"""Which entries of a tensor are wrong, where only its directions are known to be: found by bisection.

The entries that are found are evaluated one by one before anything is said about them. What they leave of the
differences along the other directions must be rounding; where it is not, the search goes on with what is left, so that
mistakes that cancel along one direction are found along another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from gradcheck.alone import Alone
from gradcheck.compare import FAIL, Comparison
from gradcheck.evidence import Evidence
from gradcheck.findings import Entry
from gradcheck.gradients.numeric import bisection
from gradcheck.gradients.numeric.bisection import Measure
from gradcheck.gradients.numeric.draws import along
from gradcheck.gradients.numeric.rays import Ray, climb_along
from gradcheck.gradients.numeric.schemes import SCHEMES
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: How many masked directions are laid out in memory at a time.
_AT_A_TIME = 4
#: An axis of which so large a part of the slices is wrong says nothing.
_NEARLY_ALL = 0.5


class Wrong(Struct, frozen=True):
    """What is wrong in a tensor.

    entries      those that were named, as evidence; one that stands for all where the mistake is dense
    dense        whether it was too dense to name every entry
    where        of a dense mistake, the wrong slices of the axes along which it is sparse
    evaluations  of the loss, or of the layer, that it took to find this
    """

    entries: tuple[Entry, ...]
    dense: bool
    where: dict[int, tuple[int, ...]] = field(default_factory=dict)
    evaluations: int = 0

    def measured(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "entries": [list(entry.index or ()) for entry in self.entries],
            "dense": self.dense,
            "where": {str(axis): list(wrong) for axis, wrong in self.where.items()},
            "evaluations": self.evaluations,
        }


def in_tensor(evidence: Evidence, name: str, comparison: Comparison, verdict: Array) -> Wrong:
    """What is wrong in a tensor that fails along some of its directions, by evaluations of the loss."""
    assert evidence.probe is not None
    shape, gradient = evidence.stage.arrays[name].shape, np.asarray(evidence.analytic.gradients[name])
    known: dict[int, Entry] = {}
    evaluations = 0
    for draw in _worst_first(comparison, verdict):
        ray = evidence.probe.draws.ray(name, shape, draw)
        signs = ray.signs.copy()
        bar = float(comparison.bar[draw])
        left = float(comparison.analytic[draw] - comparison.numeric[draw])
        left -= sum((entry.analytic - entry.numeric) * signs.flat[flat] for flat, entry in known.items())
        signs.reshape(-1)[list(known)] = 0
        if abs(left) <= bar + sum(entry.error_bar for entry in known.values()):
            continue
        measure = _by_losses(evidence, name, signs, gradient)
        search = bisection.entries(measure, gradient.size, left, bar)
        evaluations += search.evaluations
        if search.dense:
            return _dense(evidence, name, shape, measure, search, left, bar, evaluations)
        for entry in _evaluated(evidence, name, search.wrong, comparison):
            known[_flat(entry.index, shape)] = entry
        evaluations += len(search.wrong)
    return Wrong(tuple(known[flat] for flat in sorted(known)), False, evaluations=evaluations)


def in_layer(alone: Alone, part: Node | Term, operand: str, signs: Array) -> Wrong:
    """What is wrong in what a layer adds to the gradient of one of its operands, by evaluations of that layer alone."""
    measure = _by_layer(alone, part, operand, signs)
    found = alone.along(part, operand, signs)
    difference, bar = _outside(found), float(np.sum(found.interval.bar + found.give))
    search = bisection.entries(measure, signs.size, difference, bar)
    if not search.dense:
        entries = tuple(entry_alone(alone, part, operand, _index(flat, signs.shape)) for flat in search.wrong)
        return Wrong(entries, False, evaluations=search.evaluations)
    flat, more = bisection.one_of(measure, search)
    where, others = _where(measure, signs.shape, difference, bar)
    example = entry_alone(alone, part, operand, _index(flat, signs.shape))
    return Wrong((example,), True, where, search.evaluations + more + others)


def entry_alone(alone: Alone, part: Node | Term, operand: str, index: tuple[int, ...]) -> Entry:
    """One entry of what a layer adds, with the nearer end of its interval as the numeric value."""
    signs = np.zeros(alone.arrays[operand].shape, dtype=np.int8)
    signs[index] = 1
    found = alone.along(part, operand, signs)
    analytic, bar = float(np.sum(found.value)), float(np.sum(found.interval.bar))
    distance = abs(_outside(found))
    ratio = 0.0 if distance == 0 else (distance / bar if bar > 0 else float("inf"))
    return Entry(index, analytic, analytic - _outside(found), bar, ratio)


def _outside(found: Any) -> float:
    """How far what the backward says lies outside, summed over the samples."""
    return float(np.sum(found.value - np.clip(found.value, found.interval.low, found.interval.high)))


def _worst_first(comparison: Comparison, verdict: Array) -> list[int]:
    """Draws that fail, then those that pass: mistakes may cancel along these. Not those that met a kink."""
    usable = np.isfinite(comparison.analytic - comparison.numeric) & np.isfinite(comparison.bar)
    ratio = np.where(usable, comparison.distance / np.maximum(comparison.bar, 1e-300), -1.0)
    draws = [int(draw) for draw in np.argsort(-ratio, kind="stable")]
    return [draw for draw in draws if usable[draw] and (verdict[draw] == FAIL or comparison.agrees[draw])]


def _by_losses(evidence: Evidence, name: str, signs: Array, gradient: Array) -> Measure:
    """Differences between backward and the slopes of the loss, by the scheme and step of the tensor's own directions.

    What is masked is not wrong, however great the bar: a real scheme has the same truncation in all parts together.
    """
    found = evidence.estimates[name]
    scheme = SCHEMES[found.scheme]

    def measure(masks: Sequence[Callable[[Array], Array]]) -> list[float]:
        differences: list[float] = []
        for start in range(0, len(masks), _AT_A_TIME):
            rays = [Ray({name: mask(signs)}) for mask in masks[start : start + _AT_A_TIME]]
            rungs = climb_along(evidence.stage, rays, scheme, evidence.question, np.array([found.step]))
            slopes = [along(gradient, ray.signs) for ray in rays]
            differences += [a - float(n) for a, n in zip(slopes, rungs.values[-1], strict=True)]
        return differences

    return measure


def _by_layer(alone: Alone, part: Node | Term, operand: str, signs: Array) -> Measure:
    def measure(masks: Sequence[Callable[[Array], Array]]) -> list[float]:
        return [_outside(alone.along(part, operand, mask(signs))) for mask in masks]

    return measure


def _dense(
    evidence: Evidence,
    name: str,
    shape: tuple[int, ...],
    measure: Measure,
    search: bisection.Search,
    difference: float,
    bar: float,
    evaluations: int,
) -> Wrong:
    flat, more = bisection.one_of(measure, search)
    where, others = _where(measure, shape, difference, bar)
    entries = _evaluated(evidence, name, (flat,), None)
    return Wrong(tuple(entries), True, where, evaluations + more + others + 1)


def _where(
    measure: Measure, shape: tuple[int, ...], difference: float, bar: float
) -> tuple[dict[int, tuple[int, ...]], int]:
    """The wrong slices of every axis along which a dense mistake is sparse, and how many evaluations that took."""
    where: dict[int, tuple[int, ...]] = {}
    evaluations = 0
    for axis in range(len(shape)) if len(shape) > 1 else ():
        search = bisection.slices(measure, shape, axis, difference, bar)
        evaluations += search.evaluations
        if not search.dense and len(search.wrong) <= _NEARLY_ALL * shape[axis]:
            where[axis] = search.wrong
    return where, evaluations


def _evaluated(evidence: Evidence, name: str, flat: Sequence[int], comparison: Comparison | None) -> list[Entry]:
    """Entries one by one: backward, forward, and the bar between them. Those that agree were not wrong after all."""
    only = evidence.entries()
    shape, wanted = evidence.stage.arrays[name].shape, np.array(sorted(flat))
    found = only.again(name, evidence.estimates[name].scheme, None, wanted)
    gradient = np.asarray(evidence.analytic.gradients[name])
    unit = evidence.analytic.units[name]
    entries = []
    for k in wanted.tolist():
        index = _index(k, shape)
        a, n = float(gradient[index]), float(found.value[index])
        bar = float(found.error[index]) + 64 * unit * max(abs(a), float(found.magnitude[index]))
        distance = abs(a - n) if np.isfinite(a - n) else float("inf")
        if distance > bar or comparison is None:
            entries.append(Entry(index, a, n, bar, distance / bar if bar else float("inf")))
    return entries


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def _flat(index: tuple[int, ...] | None, shape: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(index or (), shape)) if shape else 0
