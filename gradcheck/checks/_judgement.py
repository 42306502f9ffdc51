"""The verdict on every entry of every tensor: first estimate, second look, and what the layers alone say at kinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.alone import Alone
from gradcheck.checks._along import directions_at_kinks
from gradcheck.checks._at_kinks import entries_at_kinks
from gradcheck.checks._bars import analytic_error
from gradcheck.checks._second_look import SecondLook, look_again, look_wider
from gradcheck.compare import Comparison, verdicts
from gradcheck.evidence import RESOLUTION, Evidence
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.gradients.numeric.schemes import SCHEMES

Array = NDArray[Any]


class Judgement(NamedTuple):
    """What is known about the gradient.

    alone     every layer by itself, when asked
    compared  by tensor, the comparison and the verdicts of its entries, or of its directions, as `compare.verdicts`
              gives them
    """

    alone: Alone
    compared: Mapping[str, tuple[Comparison, Array]]


def judgement(evidence: Evidence) -> Judgement:
    """Judge every tensor; once, whichever check asks first."""

    def compute() -> Judgement:
        alone = Alone(evidence.stage, evidence.analytic, evidence.unsafe)
        return Judgement(alone, {name: _judge(evidence, alone, name) for name in evidence.names})

    return evidence.once("judgement", compute)


def _judge(evidence: Evidence, alone: Alone, name: str) -> tuple[Comparison, Array]:
    """The comparison of one tensor and the verdicts of its entries, or of its directions."""
    found = evidence.estimates[name]
    selected = _selected(evidence, name)
    bar = found.error + analytic_error(evidence, name, found) + evidence.underflow
    comparison = Comparison(
        evidence.gradient(name), found.value, found.error + evidence.underflow, bar, selected,
        RESOLUTION[evidence.case.dtype], rtol=evidence.case.gradient.rtol, defined=evidence.defined,
        usual=evidence.usual(name), kink=found.kink,
    )  # fmt: skip
    proved = SCHEMES[found.scheme].is_complex
    comparison = _noticing(evidence, name, comparison, proved)
    suspicious = np.flatnonzero(~comparison.passes & np.isfinite(comparison.analytic) & found.checked)
    nothing = np.zeros(selected.shape, dtype=bool)
    look = SecondLook(comparison, (), nothing, nothing, nothing)
    if suspicious.size:
        look = look_again(evidence, name, comparison, found, suspicious)
    comparison = _sharpened(evidence, name, found, look.comparison, look.adopted)
    confirmed = proved or bool((look.confirmed | found.kink).reshape(-1)[suspicious].all())
    comparison = _noticing(evidence, name, comparison, confirmed)
    if evidence.probe is None:
        wider, adopted = look_wider(evidence, name, comparison, found.checked & selected & ~found.kink)
        comparison = _noticing(evidence, name, _sharpened(evidence, name, found, wider, adopted), confirmed)
    beside = (found.inside | look.adopted) & (comparison.bar <= comparison.told_apart)
    found = replace(found, kink=found.kink & ~beside)
    at_kinks = directions_at_kinks if evidence.course.is_short else entries_at_kinks
    at_kink = at_kinks(evidence, alone, name, found, comparison)
    if at_kink.unseen.any():
        sharp = found.error + 4 * evidence.analytic.units[name] * found.magnitude + evidence.underflow
        comparison = replace(
            comparison, bar=np.where(at_kink.unseen, np.minimum(sharp, comparison.bar), comparison.bar)
        )
    verdict = verdicts(comparison, at_kink.excused & selected, look.seconds, proved, at_kink.convicted, look.undecided)
    return comparison, verdict


def _noticing(evidence: Evidence, name: str, comparison: Comparison, proved: bool) -> Comparison:
    """The comparison, with what anybody could notice where the tensor seems to have no gradient."""
    if not replace(comparison, noticeable=np.inf).vacuous:
        return comparison
    return replace(comparison, noticeable=evidence.noticeable(name, proved))


def _sharpened(evidence: Evidence, name: str, found: Estimate, comparison: Comparison, adopted: Array) -> Comparison:
    """The comparison with the bars that adopted values allow: what backward may be off by is seen beside them."""
    if not adopted.any():
        return comparison
    sharp = replace(
        found, value=comparison.numeric, error=comparison.error - evidence.underflow, kink=found.kink & ~adopted
    )
    bar = comparison.error + analytic_error(evidence, name, sharp)
    return replace(comparison, bar=np.where(adopted, np.minimum(bar, comparison.bar), comparison.bar))


def _selected(evidence: Evidence, name: str) -> Array:
    shape = evidence.estimates[name].value.shape
    if evidence.probe is not None or not evidence.case.gradient.entries:
        return np.ones(shape, dtype=bool)
    selected = np.zeros(shape, dtype=bool)
    for owner, index in evidence.case.gradient.entries:
        if owner == name:
            selected[index] = True
    return selected
