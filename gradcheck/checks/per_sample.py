"""Is the gradient of the batch the sum of the gradients of its samples?

## What it is
A minibatch loss is one scalar, and its gradient the sum of the gradients gᵢ of single samples: batch(sum) = Σ gᵢ and
batch(mean) = Σ gᵢ / D, with gᵢ the gradient of the sum-reduced loss of sample i alone and D the whole batch's divisor
(GC301). Judged by rounding alone: |g - Σ gᵢ| ≤ γ_K Σ|gᵢ| + 10 s. Where it does not hold, a regression of the batch's
gradient on those of its samples shows the weight that each really got. And layer by layer, an upstream gradient in some
samples may not reach the others, where forward keeps samples apart (GC302).

## Why it is bad
Then the samples do not count as one thinks: some twice, some not at all, or each weighted by the group it is in. Large
batches and small ones, or one device and many, train different models.

## Typical causes
Only the last sample followed backward; a statistic or a buffer shared by the samples; the mean of per-sample means,
each divided by its own number of targets.

## How to repair
Sum over the batch axis in backward wherever forward broadcasts over it. Divide once, by the divisor of the whole batch.

## How to silence
`checks: {per_sample: false}` in the spec switches it off; `--ignore GC3` ignores its findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.checks._base import (
    Outcome,
    contraction_bound,
    finding,
    number,
    of_term,
    without_weight,
)
from gradcheck.checks._leakage import leaks
from gradcheck.checks._parts import Parts, Wrong, bound, disagreeing, not_cut, place, scale
from gradcheck.checks._shares import in_words, shares
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Finding, worst_verdict
from gradcheck.gradients.analytic import Analytic, Objective, gradient
from gradcheck.network import Term

Array = NDArray[Any]
NAME = "per_sample"
CODES = ("GC301", "GC302")


def run(evidence: Evidence) -> Outcome:
    """Every term of the loss by itself."""
    reason = not_cut(evidence, "the batch has one sample, which is its own sum")
    leaking = _leaking(evidence)
    results = [CheckResult(NAME, "GC302", "fail", measured={"layers": [found.layer for found in leaking]})] * bool(
        leaking
    )
    if reason:
        return Outcome((CheckResult(NAME, "GC301", "not_applicable", reason), *results), tuple(leaking))
    findings = list(leaking)
    notes: list[str] = []
    for position, term in enumerate(evidence.case.network.terms):
        reason = without_weight(term)
        if "sum" not in term.reductions:
            reason = f"{term.name} has no reduction `sum`, so there is no gradient of one sample to add up"
        if reason:
            results.append(CheckResult(NAME, "GC301", "not_applicable", reason))
            continue
        result, found, note = _term(evidence, position, term, len(findings))
        results.append(result)
        findings += found
        notes += [note] * bool(note)
    return Outcome(tuple(results), tuple(findings), notes=tuple(notes))


def _leaking(evidence: Evidence) -> list[Finding]:
    """What one sample's gradient reaches of another, layer by layer: that needs no sum, and no layer to be right."""
    return [
        finding(evidence, NAME, k, "GC302", leak.part, str(leak)) for k, leak in enumerate(leaks(evidence), start=1)
    ]


def _term(evidence: Evidence, position: int, term: Term, told: int) -> tuple[CheckResult, list[Finding], str]:
    total = Parts(evidence, position, [1] * evidence.case.point.batch_size)
    batch_seconds = _seconds(evidence, position)
    at_kink = total.at_kink()
    if at_kink:
        reason = (
            f"{at_kink} lies on a kink within rounding: a sample alone is on another piece than in its batch, and the "
            "slopes of both are right"
        )
        return CheckResult(NAME, "GC301", "not_applicable", reason), [], ""
    arrays = evidence.stage.arrays
    shape = np.shape(evidence.analytic.trace.losses[position])
    worst: dict[str, float] = {}
    findings: list[Finding] = []
    apart: dict[str, Any] = {}
    for reduction in term.reductions:
        divisor = term.divisor(reduction, arrays, shape)
        if divisor is None:
            continue
        batch, rounding = evidence.under(Objective(position, reduction))
        wrong = {
            "analytic": disagreeing(evidence, batch, rounding, total, divisor),
            "numeric": _disagreeing_numeric(evidence, position, reduction, divisor),
        }
        worst[reduction] = _greatest(evidence, batch, rounding, total, divisor)
        witness = next((side for side, names in wrong.items() if names), None)
        if witness and not findings:
            weights = shares(total, wrong[witness], (*evidence.names, *wrong[witness]), divisor)
            layer = total.where_lost(term, wrong[witness], batch if witness == "analytic" else None, divisor)
            found = _finding(evidence, layer, reduction, divisor, told + 1, wrong[witness], witness)
            if weights:
                found = replace(found, message=f"{found.message}; {in_words(weights)}")
            findings.append(found)
            apart = {"disagreeing": _where(total, wrong[witness], evidence.names), "weights": weights}
    cost = _cost(evidence, total)
    of = of_term(evidence, term)
    measured = {
        "term": term.name,
        "largest_difference": worst,
        **apart,
        "partial_derivatives": {"batch": cost[0], "per_sample": cost[1]},
        "sentences": [of + words for words in _sentences(worst, cost, evidence.case.point.batch_size, not findings)],
    }
    times = total.seconds / batch_seconds if batch_seconds else float("nan")
    note = (
        f"{of}per-sample backpropagation: {evidence.case.point.batch_size} times the partial derivatives "
        f"({cost[1]:,} instead of {cost[0]:,}), {times:.1f} times the time of one batch"
    )
    return CheckResult(NAME, "GC301", worst_verdict(["fail"] if findings else []), measured=measured), findings, note


def _disagreeing_numeric(evidence: Evidence, position: int, reduction: str, divisor: float) -> Wrong:
    """The same for the numeric gradients of parameters and inputs, within their own errors."""
    added_up = contraction_bound(evidence.case.point.batch_size, float(np.finfo(np.float64).eps))
    wrong = {}
    for name, estimate in evidence.estimates.items():
        summed = estimate.reduced.get((position, "per_sample"))
        if summed is None:
            continue
        found, alone = estimate.reduced[position, reduction], summed / divisor
        allowed = 2 * scale(evidence) / divisor * estimate.error + added_up * np.abs(alone)
        if np.any(np.abs(found - alone) > allowed):  # not where a step has left the domain of the forward
            wrong[name] = found, alone, allowed
    return wrong


def _greatest(
    evidence: Evidence, batch: Analytic, rounding: Mapping[str, float], total: Parts, divisor: float
) -> float:
    """The greatest difference among parameters and inputs, relative to the greatest gradient of its tensor.

    A tensor whose gradient is nothing but rounding has no size that a difference could be held against.
    """
    greatest = 0.0
    for name in evidence.names:
        expected = total.gradient(name)
        size = float(np.max(np.abs(expected), initial=0.0))
        if 0 < size <= np.max(bound(evidence, total, name, divisor * rounding[name])):
            continue
        found = evidence.seen(name, batch.gradients[name])
        difference = float(np.max(np.abs(divisor * found - expected), initial=0.0))
        greatest = max(greatest, difference / size if size else difference)
    return greatest


def _finding(
    evidence: Evidence, layer: str, reduction: str, divisor: float, told: int, wrong: Wrong, witness: str
) -> Finding:
    """wrong: by name, the batch's gradient, that of the samples alone, and the bound that they exceed."""
    node = next((node for node in evidence.case.network.nodes if node.name == layer), None)
    own = () if node is None else (*node.parameters.values(), *node.inputs)
    name = next((n for n in (*own, *evidence.names) if n in wrong), next(iter(wrong)))
    batch, alone, allowed = wrong[name]
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(np.abs(batch - alone) - allowed)), batch.shape))
    per = f" / {number(divisor)}" if divisor != 1 else ""
    where, entry = place(evidence, name, index)
    message = (
        f"{name}: under `{reduction}` the {witness} gradient of the batch is not the sum of its samples' "
        f"gradients{per}: {where} the batch says {batch[index]:.6g}, the samples alone give "
        f"{alone[index]:.6g}; they may differ by {allowed[index]:.1e}"
    )
    parameter = name if name in evidence.names and name in own else None
    return finding(evidence, NAME, told, "GC301", layer, message, parameter, index=entry)


def _where(total: Parts, wrong: Wrong, names: Sequence[str]) -> dict[str, Any]:
    """Which tensors disagree, and which samples of the activations and inputs among all that does."""
    samples: set[int] = set()
    for name in set(wrong) & total.batched:
        batch, alone, allowed = wrong[name]
        apart = ~(np.abs(batch - alone) <= allowed)
        samples |= set(np.flatnonzero(apart.reshape(len(apart), -1).any(axis=1)).tolist())
    return {"tensors": [name for name in names if name in wrong], "samples": sorted(samples)}


def _seconds(evidence: Evidence, position: int) -> float:
    """How long the backpropagation of one batch takes."""
    start = perf_counter()
    gradient(evidence.case.network, evidence.case.point.cast(evidence.case.dtype), Objective(position, "sum"))
    return perf_counter() - start


def _cost(evidence: Evidence, total: Parts) -> tuple[int, int]:
    """Partial derivatives with respect to the parameters: of one batch, and of its samples one by one."""
    entries = sum(evidence.stage.arrays[name].size for name in evidence.case.point.parameters)
    return entries, entries * len(total.sizes)


def _sentences(worst: Mapping[str, float], cost: tuple[int, int], samples: int, holds: bool) -> list[str]:
    if not holds:
        return ["The gradient of the batch is not the sum of its samples' gradients."]
    greatest = max(worst.values(), default=0.0)
    holds_words = (
        f"The gradient of the batch is the sum of the gradients of its {samples} samples "
        f"(largest difference {greatest:.0e} of the greatest entry)."
    )
    return [
        holds_words,
        f"Computed one by one, those are {samples} times the partial derivatives: {cost[1]:,} instead of {cost[0]:,}.",
    ]
