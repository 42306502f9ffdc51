"""Further estimates of the entries that did not pass at the first: no entry fails on one estimate alone.

Where the complex step can be believed it has the last word. Where it cannot, the entries climb a ladder of steps: its
plateau is adopted where it is sharper than the first estimate, or shows it to be wrong; the plateau of another order is
the second estimate then. An entry whose ladder has no plateau cannot be decided. What agrees, but within a bar too wide
to tell anything, is asked for in a wider precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.compare import Comparison, Second
from gradcheck.evidence import Evidence
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.gradients.numeric.ladder import Plateau
from gradcheck.gradients.numeric.schemes import SCHEMES, step_for

Array = NDArray[Any]
#: The scheme that gives a second estimate beside the complex step.
_BESIDE_COMPLEX = "five_point"
#: Factor on the step for the same scheme's own second estimate.
_OTHER_STEP = {"complex": 2.0**-40}
#: No power of two: steps that divide one another can all miss the same oscillation.
_DEFAULT_OTHER_STEP = 0.29
_SECOND_STEP = 0.83


class SecondLook(Struct, frozen=True):
    """What is known after it.

    comparison  with the sharper numeric values and their bars
    seconds     further estimates of the same entries
    adopted     entries whose numeric value is new, by a perturbation that met no kink (the tensor's shape)
    undecided   entries whose ladder of steps has no plateau (the tensor's shape)
    confirmed   entries of which the complex step says the same (the tensor's shape)
    """

    comparison: Comparison
    seconds: tuple[Second, ...]
    adopted: Array
    undecided: Array
    confirmed: Array


def look_again(evidence: Evidence, name: str, comparison: Comparison, found: Estimate, entries: Array) -> SecondLook:
    """Estimate some entries (flat indices) once more, by other steps and another scheme."""
    rounding = comparison.bar - found.error
    factor = _OTHER_STEP.get(found.scheme, _DEFAULT_OTHER_STEP)
    step = factor * found.step if factor * found.step > np.finfo(np.float64).tiny else found.step / factor
    same = _second(evidence.again(name, found.scheme, step, entries), rounding)
    nothing = np.zeros(found.value.shape, dtype=bool)
    if SCHEMES[found.scheme].is_complex:
        beside = _by(_BESIDE_COMPLEX, evidence, name, rounding, entries)
        return SecondLook(comparison, (same, beside), nothing, nothing, nothing)
    first = Second(comparison.numeric, comparison.bar)
    if evidence.offender(name) is None:
        other = _by("complex", evidence, name, rounding, entries)
        sharper = other.bar < comparison.bar
        again = _by("complex", evidence, name, rounding, entries, _OTHER_STEP["complex"])
        seconds = same, _either(sharper, first, other), again
        same_value = np.isfinite(other.bar) & (np.abs(other.numeric - comparison.numeric) <= other.bar + comparison.bar)
        adopted = _adopted(comparison, other, sharper, rounding)
        return SecondLook(adopted, seconds, sharper, nothing, sharper | same_value)
    entries = entries[~(found.kink & ~found.inside).reshape(-1)[entries]]
    best, next_best = (_plateau(p, comparison, entries, rounding) for p in evidence.ladder(name, entries))
    settled = np.isfinite(best.bar)
    wrong = settled & (np.abs(best.numeric - comparison.numeric) > best.bar + comparison.bar)
    adopted = settled & ((best.bar < comparison.bar) | wrong)
    climbed = np.isin(np.arange(found.value.size), entries).reshape(found.value.shape)
    others = (_either(wrong, next_best, same), _either(adopted, next_best, best))
    return SecondLook(_adopted(comparison, best, adopted, rounding), others, adopted, climbed & ~settled, nothing)


def look_wider(evidence: Evidence, name: str, comparison: Comparison, asked: Array) -> tuple[Comparison, Array]:
    """The comparison after a look in a wider precision at the entries of which nothing but rounding can be in the way.

    These agree, but within a bar that is too wide. What the wider precision says of them is adopted, and marked, where
    it is sharper and lies within that bar.
    """
    doubtful = asked & comparison.agrees & ~comparison.passes
    other = _in_wider_precision(evidence, name, comparison, np.flatnonzero(doubtful)) if doubtful.any() else None
    if other is None:
        return comparison, np.zeros(doubtful.shape, dtype=bool)
    near = np.abs(other.numeric - comparison.numeric) <= comparison.error
    adopted = doubtful & near & (other.bar < comparison.bar)
    return _adopted(comparison, other, adopted, comparison.bar - comparison.error), adopted


def _in_wider_precision(evidence: Evidence, name: str, comparison: Comparison, entries: Array) -> Second | None:
    rounding = comparison.bar - comparison.error
    if evidence.offender(name) is None:
        found = evidence.in_wider_precision(name, entries)
        return None if found is None else _second(found, rounding + evidence.underflow)
    plateau = evidence.ladder_in_wider_precision(name, entries)
    return None if plateau is None else _plateau(plateau, comparison, entries, rounding + evidence.underflow)


def _by(
    scheme: str, evidence: Evidence, name: str, rounding: Array, entries: Array, factor: float = _SECOND_STEP
) -> Second:
    step = factor * step_for(SCHEMES[scheme], evidence.stage.arrays[name])
    return _second(evidence.again(name, scheme, step, entries), rounding)


def _second(other: Estimate, rounding: Array) -> Second:
    usable = other.checked & (~other.kink | other.inside) & np.isfinite(other.value)
    return Second(np.where(usable, other.value, 0.0), np.where(usable, other.error + rounding, np.inf))


def _plateau(found: Plateau, comparison: Comparison, entries: Array, rounding: Array) -> Second:
    """A plateau over the whole tensor; without a bar where it was not asked for or did not settle."""
    numeric, bar = comparison.numeric.copy(), np.full(comparison.bar.shape, np.inf)
    numeric.reshape(-1)[entries] = np.where(found.settled, found.value, 0.0)
    bar.reshape(-1)[entries] = found.error
    return Second(numeric, bar + rounding)


def _adopted(comparison: Comparison, other: Second, where: Array, rounding: Array) -> Comparison:
    return replace(
        comparison,
        numeric=np.where(where, other.numeric, comparison.numeric),
        error=np.where(where, other.bar - rounding, comparison.error),
        bar=np.where(where, other.bar, comparison.bar),
    )


def _either(where: Array, chosen: Second, otherwise: Second) -> Second:
    return Second(np.where(where, chosen.numeric, otherwise.numeric), np.where(where, chosen.bar, otherwise.bar))
