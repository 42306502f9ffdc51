"""Does every forward and backward, called alone, keep the contract?

## What it is
Each layer and each loss is called by itself, before any difference is taken. Its backward must be linear in the
upstream gradient; forward and backward must leave the inputs, the parameters, the upstream gradient and the cache as
they are, bit for bit; the same call must give the same numbers, whatever else was called before or in between.
Linearity is an identity, judged by rounding alone: γ_K max|B| + 10 s.

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

from collections.abc import Iterator
from typing import Any

from gradcheck.checks._base import Outcome, finding
from gradcheck.checks._breaches import Asked, Breach
from gradcheck.checks._callee import Callee
from gradcheck.checks._contract_texts import TEXTS
from gradcheck.errors import LayerFailure
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Finding, worst_verdict
from gradcheck.network import Node, Term

NAME = "contract"
CODES = ("GC501", "GC502", "GC503", "GC504")
EXPLAINED = TEXTS
_OTHER_SIZE = "a batch of another size"


def run(evidence: Evidence) -> Outcome:
    """Every layer, then every term of the loss, by itself."""
    findings: list[Finding] = []
    parts: dict[str, dict[str, Any]] = {}
    for part in _parts(evidence):
        failed = next((failure for failure in evidence.analytic.failures if failure.node == part.name), None)
        if failed:
            parts[part.name] = {"verdict": "not_applicable", "reason": f"the backward pass failed at {part.name}"}
            continue
        breaches, skipped = _asked(evidence, part)
        findings += [_finding(evidence, len(findings) + k, part, breach) for k, breach in enumerate(breaches, start=1)]
        errors = [breach.code for breach in breaches if breach.severity == "error"]
        parts[part.name] = {"verdict": "fail" if errors else "pass", "codes": [breach.code for breach in breaches],
                            "not_asked": skipped}  # fmt: skip
    failed_at = [name for name, facts in parts.items() if facts["verdict"] == "not_applicable"]
    verdict = worst_verdict([facts["verdict"] for facts in parts.values()])
    errors = [found.code for found in findings if found.severity == "error"]
    measured = {"parts": parts, "sentences": _sentences(evidence, parts)}
    reason = ""
    if failed_at and verdict == "pass":
        verdict = "not_applicable"
        reason = f"the backward pass failed at {' and '.join(failed_at)}; everything else keeps the contract"
    return Outcome((CheckResult(NAME, errors[0] if errors else CODES[0], verdict, reason, measured),), tuple(findings))


def _parts(evidence: Evidence) -> Iterator[Node | Term]:
    yield from evidence.case.network.nodes
    yield from evidence.case.network.terms


def _asked(evidence: Evidence, part: Node | Term) -> tuple[list[Breach], list[str]]:
    """What a part has broken, under the reduction of the case for a loss that reduces by itself."""
    reduction = None if isinstance(part, Node) or part.elementwise else part.reduction
    asked = Asked(Callee(evidence, part, reduction))
    breaches: list[Breach] = []
    try:
        breaches += asked.breaches()
    except LayerFailure as failure:  # it did not raise before, with the same numbers
        rest = f"{failure.message.partition(': ')[2]}, where it did not raise in the same call before"
        breaches.append(Breach("GC502", rest))
    return breaches, asked.skipped


def _finding(evidence: Evidence, number: int, part: Node | Term, breach: Breach) -> Finding:
    message = f"{part.name}: {breach.rest}"
    return finding(evidence, NAME, number, breach.code, part.name, message, severity=breach.severity)


def _sentences(evidence: Evidence, parts: dict[str, dict[str, Any]]) -> list[str]:
    held = [name for name, facts in parts.items() if facts["verdict"] == "pass"]
    said = []
    if len(held) == len(parts):
        said.append(
            "Every backward is linear in its upstream gradient; calls repeat themselves, in any order, and change "
            "nothing that they are given."
        )
    lacking = [name for name, facts in parts.items() if _OTHER_SIZE in facts.get("not_asked", ())]
    if lacking:
        said.append(f"{_OTHER_SIZE.capitalize()} could not be given to {' and '.join(lacking)}.")
    return said
