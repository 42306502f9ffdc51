"""Evidence for entries at kinks: which unit has no derivative there, and what was sampled beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.compare import KINK
from gradcheck.evidence import Evidence
from gradcheck.findings import Kink
from gradcheck.gradients.numeric.schemes import SCHEMES, step_for
from gradcheck.gradients.numeric.sites import Site, Sites, sites

Array = NDArray[Any]
#: Of all entries at a kink of one tensor, so many are looked at again, and so many units are shown.
_LOOKED_AT, _SHOWN = 4, 3


def evidence_at_kinks(evidence: Evidence, name: str, verdict: Array) -> tuple[Kink, ...]:
    """Where some of a tensor's entries with the verdict `kink` meet it: units of different layers first.

    verdict  an index into the order pass, kink, inconclusive, fail, for every entry

    No forward pass if there are none, a few dozen if there are thousands. Empty where the kinks cannot be told.
    """
    at_kink = np.flatnonzero(verdict == KINK)
    spaced = np.unique(np.linspace(0, at_kink.size - 1, min(_LOOKED_AT, at_kink.size)).astype(int))
    entries = [tuple(int(i) for i in np.unravel_index(entry, verdict.shape)) for entry in at_kink[spaced]]
    known: list[Kink] = []
    for index, found in zip(entries, _met(evidence, name, entries), strict=True):
        steps = (-found.step, 0.0, found.step)
        analytic = float(evidence.gradient(name)[index])
        known += [_kink(site, index, steps, analytic, found.count - 1) for site in found.first]
    return _varied(known)


def site_at(evidence: Evidence, layer: str, operand: str, index: tuple[int, ...]) -> Site | None:
    """The first unit of one layer that meets a kink when an entry of something that the layer takes moves."""
    step = step_for(SCHEMES["central"], evidence.stage.arrays[operand])
    (found,) = sites(evidence.stage, operand, [index], step)
    return next((site for site in found.first if site.layer == layer), None)


def _met(evidence: Evidence, name: str, entries: Sequence[tuple[int, ...]]) -> list[Sites]:
    """Kinks within the usual step of a difference; if there are none, within the greatest step that was made.

    A complex step meets only kinks that it starts from. If there are none, the analytic side's precision has rounded to
    another piece, and the kink is nearby.
    """
    estimate = evidence.estimates[name]
    scheme = SCHEMES[estimate.scheme]
    usual = step_for(SCHEMES["central"], evidence.stage.arrays[name])
    greatest = usual if scheme.is_complex else 2 * max(map(abs, scheme.offsets)) * estimate.step
    found = sites(evidence.stage, name, entries, usual, on_border=scheme.is_complex)
    return found if any(each.count for each in found) else sites(evidence.stage, name, entries, greatest)


def _kink(site: Site, index: tuple[int, ...], steps: tuple[float, float, float], analytic: float, others: int) -> Kink:
    return Kink(
        index, site.layer, site.output, site.unit, site.sampled, steps, site.values, site.slopes, analytic, others
    )


def _varied(kinks: list[Kink]) -> tuple[Kink, ...]:
    """A few of them: of other layers first, then of other entries, each in the order given."""
    chosen: list[Kink] = []
    left = list(kinks)
    while left and len(chosen) < _SHOWN:
        layers, entries = {kink.layer for kink in chosen}, {kink.index for kink in chosen}
        best = min(left, key=lambda kink: (kink.layer in layers, kink.index in entries))
        chosen.append(best)
        left.remove(best)
    return tuple(chosen)
