"""A tensor whose true gradient is zero everywhere, although what it feeds moves.

## What it is
In every entry the numeric gradient is zero within its error bar, and backward does not say otherwise. Zero is right;
but a backward that says zero there passes whatever its rule is. Nothing was tested.

## Why it is bad
It is not wrong. It is a gap in the proof: elsewhere, where the gradient is not zero, the same rule may be.

## Typical causes
A bias in front of a batch or instance normalisation, which subtracts it again; the bias of an attention's keys, which
adds the same to all scores of a softmax; a layer that is saturated or dead in all samples; weights behind a zero; a
term of the loss with the weight 0.

## How to repair
Check the layer without the normalisation behind it, or at another point: another seed, other inputs and weights. Leave
out a bias that the next layer subtracts (`bias: false`).

## How to silence
`--ignore GC601`. A note never changes the exit code.
"""

from __future__ import annotations

from gradcheck.checks._base import Outcome, unusable
from gradcheck.checks._judgement import judgement
from gradcheck.checks._vacuity import TEXTS, vacuity
from gradcheck.compare import untested
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult
from gradcheck.silencing import TEXTS as SILENCING

NAME = "vacuity"
CODES = ("GC601", "GC602", "GC603", "GC604")
EXPLAINED = {**TEXTS, **SILENCING}


def run(evidence: Evidence) -> Outcome:
    """Note where nothing was tested. A note is no failure: the check itself always passes."""
    reason = unusable(evidence) if "gradient" in evidence.case.checks else "the gradient check is off"
    if reason:
        return Outcome((CheckResult(NAME, "GC601", "not_applicable", reason),))
    compared = judgement(evidence).compared
    notes = vacuity(evidence, NAME, compared)
    entries = compared if evidence.probe is None else {}
    gaps = {name: int(untested(*both).sum()) for name, both in entries.items()}
    measured = {"notes": len(notes), "untested": {name: count for name, count in gaps.items() if count}}
    return Outcome((CheckResult(NAME, "GC601", "pass", measured=measured),), tuple(notes))
