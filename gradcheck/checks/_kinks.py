"""Evidence for entries at kinks: which unit has no derivative there, and what was sampled beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.compare import KINK
from gradcheck.evidence import Evidence
from gradcheck.findings import Kink
from gradcheck.gradients.numeric.estimate import step_for
from gradcheck.gradients.numeric.schemes import SCHEMES
from gradcheck.gradients.numeric.sites import Site, sites

Array = NDArray[Any]
#: Of all entries at a kink of one tensor, so many are looked at again, and so many units are shown.
_LOOKED_AT, _SHOWN = 4, 3


def evidence_at_kinks(evidence: Evidence, name: str, verdict: Array) -> tuple[Kink, ...]:
    """Where some of a tensor's entries with the verdict `kink` meet it: units of different layers first.

    verdict  an index into the order pass, kink, inconclusive, fail, for every entry

    No forward pass if there are none, about forty if there are thousands. Empty where the kinks cannot be told.
    """
    at_kink = np.flatnonzero(verdict == KINK)
    spaced = np.unique(np.linspace(0, at_kink.size - 1, min(_LOOKED_AT, at_kink.size)).astype(int))
    analytic = evidence.gradient(name)
    known: list[Kink] = []
    for entry in at_kink[spaced]:
        index = tuple(int(i) for i in np.unravel_index(entry, verdict.shape))
        found = sites(evidence.stage, name, index, _reach(evidence, name), on_border=_is_complex(evidence, name))
        steps = (-found.step, 0.0, found.step)
        known += [_kink(site, index, steps, float(analytic[index]), found.count - 1) for site in found.first]
    return _varied(known)


def site_at(evidence: Evidence, layer: str, operand: str, index: tuple[int, ...]) -> Site | None:
    """The first unit of one layer that meets a kink when an entry of something that the layer takes moves."""
    step = step_for(SCHEMES["central"], evidence.stage.arrays[operand])
    return next((site for site in sites(evidence.stage, operand, index, step).first if site.layer == layer), None)


def _is_complex(evidence: Evidence, name: str) -> bool:
    return SCHEMES[evidence.estimates[name].scheme].is_complex


def _reach(evidence: Evidence, name: str) -> float:
    """How far the numeric gradient has moved the entries; the step of central differences for the complex step."""
    found = evidence.estimates[name]
    scheme = SCHEMES[found.scheme]
    if scheme.is_complex:
        return step_for(SCHEMES["central"], evidence.stage.arrays[name])
    return 2 * max(abs(offset) for offset in scheme.offsets) * found.step


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
