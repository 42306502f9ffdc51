"""Is backward the derivative of forward?

## What it is
Every entry of every parameter and input: the analytic gradient, which the layers' backward passes give, against the
numeric one, which comes from forward alone. Each entry is judged by an error bar of its own.

## Why it is bad
A wrong gradient still trains: more slowly, to a worse minimum, or only for some inputs. It looks like a bad learning
rate, bad data or bad luck.

## Typical causes
A forgotten factor (1/N, f′), a sum over the wrong axis, a transposed matrix, a sign, only one output or only one
sample followed through the chain rule, a kernel that is not flipped, a gradient for what is frozen.

## How to repair
Start at the finding that is not a consequence of another: it names the layer whose backward is not the
vector-Jacobian product of its own forward. Write the formula above its backward, shapes in columns, and compare.

## How to silence
`checks: {gradient: false}` in the spec switches it off; `--rtol R` widens what passes; `--ignore GC1` ignores findings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import Outcome
from gradcheck.checks._blame import Blame
from gradcheck.checks._judgement import judgement
from gradcheck.checks._kinks import evidence_at_kinks
from gradcheck.compare import row
from gradcheck.endings import TEXTS as ENDINGS
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Row, worst_verdict

Array = NDArray[Any]
NAME = "gradient"
CODES = ("GC100", "GC108", "GC114", "GC115", "GC120", "GC125", "GC505", "GC901", "GC902", "GC903")
EXPLAINED = ENDINGS


def run(evidence: Evidence) -> Outcome:
    """Compare every entry, then find out which layer is guilty of what disagrees."""
    alone, compared = judgement(evidence)
    rows: dict[str, Row] = {}
    gradients: dict[str, Array] = {}
    for name, (comparison, verdict) in compared.items():
        method, reason = evidence.schemes[name]
        kinks = evidence_at_kinks(evidence, name, verdict)
        rows[name] = replace(row(name, comparison, verdict, method, reason), kinks=kinks)
        gradients |= {
            f"{name}/analytic": comparison.analytic,
            f"{name}/numeric": comparison.numeric,
            f"{name}/bar": comparison.bar,
            f"{name}/verdict": np.array(["pass", "kink", "inconclusive", "fail"])[verdict],
        }
    findings = Blame(evidence, alone, compared).findings()
    point = evidence.case.point
    errors = [found.code for found in findings if found.severity == "error"]
    overall = worst_verdict([*(r.verdict for r in rows.values()), *("fail" for _ in errors)], "not_applicable")
    result = CheckResult(NAME, errors[0] if errors else "GC100", overall, measured=_measured(rows))
    return Outcome(
        (result,),
        tuple(findings),
        tuple(rows[name] for name in point.parameters if name in rows),
        tuple(rows[name] for name in point.inputs if name in rows),
        gradients,
    )


def _measured(rows: dict[str, Row]) -> dict[str, Any]:
    entries = sum(r.checked for r in rows.values())
    worst = max((r.max_rel_error for r in rows.values()), default=0.0)
    return {"entries": entries, "max_rel_error": worst}
