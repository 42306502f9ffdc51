"""Notes about what was not tested, because the true gradient is zero there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks import _dead_units, _never_reached
from gradcheck.checks._base import finding
from gradcheck.checks._dead_units import DeadUnits, dead_units
from gradcheck.checks._never_reached import where_influence_ends
from gradcheck.compare import FAIL, PASS, Comparison, untested
from gradcheck.evidence import Evidence
from gradcheck.findings import Finding

Array = NDArray[Any]
#: The texts of the codes that have files of their own.
TEXTS = {"GC602": _dead_units.__doc__, "GC603": _never_reached.__doc__}
#: So many units are named in a note; the others are counted.
_NAMED = 5


def vacuity(evidence: Evidence, check: str, compared: Mapping[str, tuple[Comparison, Array]]) -> list[Finding]:
    """Notes about what was not tested: one for every tensor without a gradient, one for every layer with dead units.

    compared  by tensor, the comparison and the verdicts of its entries
    """
    zero = {name: _zero(evidence, name, *both) for name, both in compared.items()}
    notes: list[tuple[str, str, str, str | None]] = []
    for name, (comparison, verdict) in compared.items():
        if not comparison.vacuous or (verdict == FAIL).any() or not comparison.selected.any():
            continue
        code, why = _without_gradient(evidence, name, comparison)
        if code == "GC603":
            del zero[name]
        owner = evidence.case.network.owner(name)
        message = f"{name}: nothing was tested here; {why}"
        notes.append((code, owner.name if owner else name, message, name))
    notes += [("GC602", dead.node.name, _in_words(evidence, dead), None) for dead in dead_units(evidence.stage, zero)]
    return [
        finding(evidence, check, k, code, layer, message, name, severity="note")
        for k, (code, layer, message, name) in enumerate(notes, start=1)
    ]


def _zero(evidence: Evidence, name: str, comparison: Comparison, verdict: Array) -> Array:
    """The entries in which nothing was tested. Along directions that agree, those of which backward says zero."""
    if evidence.probe is None:
        return untested(comparison, verdict)
    return np.asarray((evidence.analytic.gradients[name] == 0) & bool((verdict == PASS).all()))


def _without_gradient(evidence: Evidence, name: str, comparison: Comparison) -> tuple[str, str]:
    """The code for a tensor without a gradient, and why nothing was tested."""
    end = where_influence_ends(evidence, name)
    if end:
        return "GC603", f"no loss depends on it, here or elsewhere: {end}"
    bar = float(np.max(comparison.bar[comparison.selected]))
    where = "along every direction that was drawn" if evidence.probe is not None else "in every entry"
    return "GC601", (
        f"the gradient is zero within its error bar ({bar:.1e}) {where}, so a backward that says zero passes "
        "whatever its rule is"
    )


def _in_words(evidence: Evidence, dead: DeadUnits) -> str:
    """`relu_1: 2 of its 9 units (0 and 5) do not change ..., so nothing was tested in 10 of 45 entries of ...`."""
    indices, count = np.flatnonzero(dead.units).tolist(), dead.units.size
    unit = "channel" if dead.axis == 1 and evidence.stage.arrays[dead.output].ndim > 3 else "unit"
    whose = "its" if len(dead.node.outputs) == 1 else f"{dead.output}'s"
    verb = "does not change" if len(indices) == 1 else "do not change"
    who = f"{len(indices):,} of {whose} {count:,} {unit}s ({_listed([str(index) for index in indices])}) {verb}"
    if len(indices) == count:
        who = f"{whose} only {unit} {verb}" if count == 1 else f"none of {whose} {count:,} {unit}s changes"
    shares = [
        f"{'all' if marked.all() else f'{marked.sum():,} of'} {marked.size:,} entries of {name}"
        for name, marked in dead.lost.items()
    ]
    return f"{dead.node.name}: {who} in any sample when its inputs move, so nothing was tested in {_listed(shares)}"


def _listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`; after the first few `and 3 more`."""
    shown = [*words[:_NAMED], *([f"{len(words) - _NAMED:,} more"] if len(words) > _NAMED else [])]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
