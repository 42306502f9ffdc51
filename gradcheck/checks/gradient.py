"""Is backward the derivative of forward?

## What it is
Every entry of every parameter and input: the analytic gradient, which the layers' backward passes give, against the
numeric one, which comes from forward alone. Each entry is judged by an error bar of its own. Tensors that are too large
for that are probed along random directions, and what is wrong in them is found by bisection.

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

from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.checks._base import Outcome
from gradcheck.checks._blame import Blame
from gradcheck.checks._blame_along import BlameAlong
from gradcheck.checks._judgement import judgement
from gradcheck.checks._kinks import evidence_at_kinks
from gradcheck.compare import row, row_along
from gradcheck.endings import TEXTS as ENDINGS
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Row, worst_verdict

Array = NDArray[Any]
NAME = "gradient"
CODES = ("GC100", "GC125", "GC505", "GC901", "GC902", "GC903")
EXPLAINED = {
    **ENDINGS,
    "GC125": """A gradient for a frozen parameter.

## What it is
A frozen parameter is a constant of the objective: gradients flow through its layer, and none is for it. Whatever a
backward returns for it is discarded. But one that takes `frozen` is told the names of its layer's frozen parameters,
and this one returns a gradient for one of them that is not zero.

## Why it is bad
A training loop that adds up what the layers return will hand that gradient to the next step: the critic of a generator
learns from the generator's step, and learns to be deceived.

## Typical causes
`frozen` is taken and then forgotten; it is asked for the name of another parameter, or for the parameter's full name
(forward's own names are told: `weight`, not `head.weight`).

## How to repair
Leave the parameter out of the gradients that backward returns, or return None or zeros for it. The gradient of the
input is the same as ever.

## How to silence
Take `frozen` out of the signature, if the training loop discards these gradients itself; `--ignore GC125`.
""",
}


def run(evidence: Evidence) -> Outcome:
    """Compare every entry, or the slopes along directions, then find out which layer is guilty of what disagrees."""
    alone, compared = judgement(evidence)
    rows: dict[str, Row] = {}
    gradients: dict[str, Array] = {}
    for name, (comparison, verdict) in compared.items():
        method, reason = evidence.schemes[name]
        if evidence.probe is not None:
            shape = evidence.stage.arrays[name].shape
            rows[name] = row_along(name, comparison, verdict, shape, method, reason)
            gradients |= _directions(evidence, name)
        else:
            kinks = evidence_at_kinks(evidence, name, verdict)
            rows[name] = replace(row(name, comparison, verdict, method, reason), kinks=kinks)
        gradients |= {
            f"{name}/analytic": comparison.analytic,
            f"{name}/numeric": comparison.numeric,
            f"{name}/bar": comparison.bar,
            f"{name}/verdict": np.array(["pass", "kink", "inconclusive", "fail"])[verdict],
        }
    blame = (BlameAlong if evidence.course.is_short else Blame)(evidence, alone, compared)
    findings = blame.findings()
    point = evidence.case.point
    errors = [found.code for found in findings if found.severity == "error"]
    overall = worst_verdict([*(r.verdict for r in rows.values()), *("fail" for _ in errors)], "not_applicable")
    result = CheckResult(NAME, errors[0] if errors else "GC100", overall, measured=_measured(evidence, rows, blame))
    return Outcome(
        (result,),
        tuple(findings),
        tuple(rows[name] for name in point.parameters if name in rows),
        tuple(rows[name] for name in point.inputs if name in rows),
        gradients,
        accused=tuple(blame.accused),
    )


def _directions(evidence: Evidence, name: str) -> dict[str, Array]:
    """What a dump has of a tensor beside its slopes: the directions, and what backward says of every entry."""
    assert evidence.probe is not None
    rays = evidence.probe.draws.rays(name, evidence.stage.arrays[name].shape)
    return {
        f"{name}/directions": np.stack([ray.signs for ray in rays]),
        f"{name}/gradient": np.asarray(evidence.analytic.gradients[name]),
    }


def _measured(evidence: Evidence, rows: dict[str, Row], blame: Blame) -> dict[str, Any]:
    entries = sum(r.checked for r in rows.values())
    worst = max((r.max_rel_error for r in rows.values()), default=0.0)
    measured: dict[str, Any] = {"entries": entries, "max_rel_error": worst}
    if evidence.probe is not None:
        measured["directions"] = sum(r.directions["drawn"] for r in rows.values() if r.directions)
    if isinstance(blame, BlameAlong):
        measured["bisection"] = {name: search.measured() for name, search in blame.searched.items()}
    return measured
