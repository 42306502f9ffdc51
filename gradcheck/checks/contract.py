"""Does every forward and backward, called alone, keep the contract?

## What it is
Each layer and each loss is called by itself, before any difference is taken. Its backward must be linear in the
upstream gradient; forward and backward must leave the inputs, the parameters, the upstream gradient and the cache as
they are, bit for bit; the same call must give the same numbers, whatever else was called before or in between, and
leave what earlier calls have returned. As a warning: NaN from backward at points where forward is finite (GC115), which
are asked for beside the point of the run: all inputs 0, 50 or -50, one sample 0, the prediction the target. Linearity
is an identity, judged by rounding alone: γ_K max|B| + 10 s.

## Why it is bad
One comparison of two gradients does not see it: at one point, called once, such a backward may be right. In training it
is called again, with other batches and other gradients, and its layer may be used twice.

## Typical causes
Work in place to save memory; a buffer or a cache on the instance or the class; a mask that is drawn anew in backward;
gradients that are clipped, normalised or masked by their sign inside a layer.

## How to repair
Return what backward needs from forward, as the cache, and nothing else. Write into arrays of your own. Clip gradients
where they are used, in the optimiser.

## How to silence
`checks: {contract: false}` in the spec switches it off; `--ignore GC5` ignores its findings.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from gradcheck._ground import Ground
from gradcheck.checks._base import Outcome, finding
from gradcheck.checks._contract_texts import TEXTS
from gradcheck.checks._questioning import CHECK, all_breaches, breaches_of
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Finding, worst_verdict

NAME = "contract"
CODES = ("GC501", "GC502", "GC503", "GC504")
EXPLAINED = TEXTS
_OTHER_SIZE = "a batch of another size"
_HOLDS = (
    "Every backward is linear in its upstream gradient; calls repeat themselves, in any order, and change nothing that "
    "they are given."
)


def before(ground: Ground) -> Mapping[Hashable, Any]:
    """Ask before any difference is taken: what is not repeatable, or remembers, has none."""
    return {CHECK: all_breaches(ground)}


def run(evidence: Evidence) -> Outcome:
    """Every layer, then every term of the loss, by itself."""
    findings: list[Finding] = []
    parts: dict[str, dict[str, Any]] = {}
    for name, found in breaches_of(evidence).items():
        for breach in found.breaches:
            number, message = len(findings) + 1, f"{name}: {breach.rest}"
            findings.append(finding(evidence, NAME, number, breach.code, name, message, severity=breach.severity))
        broken = any(breach.severity == "error" for breach in found.breaches)
        codes = [breach.code for breach in found.breaches]
        parts[name] = {"verdict": "fail" if broken else "pass", "codes": codes, "not_asked": list(found.skipped)}
    verdict = worst_verdict([facts["verdict"] for facts in parts.values()])
    failed = list(dict.fromkeys(failure.node for failure in evidence.analytic.failures))
    reason = ""
    if failed and verdict == "pass":
        verdict = "not_applicable"
        reason = f"the backward pass failed at {' and '.join(failed)}; everything else keeps the contract"
    errors = [found.code for found in findings if found.severity == "error"]
    measured = {"parts": parts, "sentences": _sentences(verdict, parts)}
    return Outcome((CheckResult(NAME, errors[0] if errors else CODES[0], verdict, reason, measured),), tuple(findings))


def _sentences(verdict: str, parts: dict[str, dict[str, Any]]) -> list[str]:
    said = [_HOLDS]
    lacking = [name for name, facts in parts.items() if _OTHER_SIZE in facts["not_asked"]]
    if lacking:
        said.append(f"{_OTHER_SIZE.capitalize()} could not be given to {' and '.join(lacking)}.")
    return said if verdict == "pass" else said[1:]
