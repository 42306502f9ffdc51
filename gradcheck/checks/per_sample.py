"""Is the gradient of the batch the sum of the gradients of its samples?

## What it is
A minibatch loss is one scalar, and its gradient the sum of the gradients gᵢ of single samples: batch(sum) = Σ gᵢ and
batch(mean) = Σ gᵢ / D, with gᵢ the gradient of the sum-reduced loss of sample i alone and D the whole batch's divisor.
Judged by rounding alone: |g - Σ gᵢ| ≤ γ_K Σ|gᵢ| + 10 s.

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

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import (
    Outcome,
    contraction_bound,
    finding,
    nearest_to_loss,
    number,
    of_term,
    unusable,
    without_weight,
)
from gradcheck.evidence import Evidence, reductions
from gradcheck.findings import CheckResult, Finding, worst_verdict
from gradcheck.gradients.analytic import Analytic, Objective, gradient, on_other_pieces
from gradcheck.gradients.numeric.draws import size
from gradcheck.network import Term, Trace

Array = NDArray[Any]
NAME = "per_sample"
CODES = ("GC301",)
_INNER_TERMS = 64
Wrong = dict[str, tuple[Array, Array, Array]]


def run(evidence: Evidence) -> Outcome:
    """Every term of the loss by itself."""
    reason = _not_applicable(evidence)
    if reason:
        return Outcome((CheckResult(NAME, "GC301", "not_applicable", reason),))
    results: list[CheckResult] = []
    findings: list[Finding] = []
    notes: list[str] = []
    for position, term in enumerate(evidence.case.network.terms):
        reason = without_weight(term)
        if "sum" not in reductions(term):
            reason = f"{term.name} has no reduction `sum`, so there is no gradient of one sample to add up"
        if reason:
            results.append(CheckResult(NAME, "GC301", "not_applicable", reason))
            continue
        result, found, note = _term(evidence, position, term, len(findings))
        results.append(result)
        findings += found
        notes += [note] * bool(note)
    return Outcome(tuple(results), tuple(findings), notes=tuple(notes))


def _not_applicable(evidence: Evidence) -> str:
    if evidence.case.point.batch_size == 1:
        return "the batch has one sample, which is its own sum"
    if evidence.stage.coupled:
        names = " and ".join(sorted(evidence.stage.coupled))
        return f"{names} couples the samples of a batch (measured), so a sample alone has another gradient"
    return unusable(evidence)


class Sum:
    """Σ gᵢ over batches of one: for parameters the sum, for what has samples on axis 0 the rows put together."""

    def __init__(self, evidence: Evidence, position: int) -> None:
        point = evidence.case.point.cast(evidence.case.dtype)
        network = evidence.case.network
        objective = Objective(position, "sum")
        start = perf_counter()
        self.batch: Analytic = gradient(network, point, objective)
        self.batch_seconds = perf_counter() - start
        start = perf_counter()
        self.samples = [
            _Sample.of(evidence, gradient(network, point.take([i]), objective), i) for i in range(point.batch_size)
        ]
        self.samples_seconds = perf_counter() - start
        self.batched = evidence.stage.samples
        self.along = frozenset(evidence.names if evidence.probe else ())
        self.rounding = evidence.under(objective)[1]

    def gradient(self, name: str) -> Array:
        """Put together in float64, so that only the rounding of the gradients themselves counts."""
        return self._together(name, [sample.gradients[name] for sample in self.samples])

    def magnitude(self, name: str) -> Array:
        """Σ|gᵢ|."""
        return self._together(name, [sample.magnitude(name) for sample in self.samples])

    def _together(self, name: str, each: list[Array]) -> Array:
        rows = name in self.batched and name not in self.along
        return np.concatenate(each) if rows else np.sum(each, axis=0)


@dataclass(frozen=True)
class _Sample:
    """A batch of one.

    gradients  in float64; of tensors that were probed along directions their slopes, so that no more is kept
    sizes      Σ|g| of those
    """

    trace: Trace
    gradients: Mapping[str, Array]
    sizes: Mapping[str, float]

    @staticmethod
    def of(evidence: Evidence, found: Analytic, i: int) -> _Sample:
        gradients = {
            name: evidence.seen(name, g, i if name in evidence.stage.samples else None)
            for name, g in found.gradients.items()
        }
        probed = evidence.names if evidence.probe else ()
        return _Sample(found.trace, gradients, {name: size(np.asarray(found.gradients[name])) for name in probed})

    def magnitude(self, name: str) -> Array:
        """|g|, entry by entry or direction by direction."""
        return np.abs(self.gradients[name]) if name not in self.sizes else 0 * self.gradients[name] + self.sizes[name]


def _term(evidence: Evidence, position: int, term: Term, told: int) -> tuple[CheckResult, list[Finding], str]:
    total = Sum(evidence, position)
    at_kink = on_other_pieces(evidence.case.network, total.batch.trace, [sample.trace for sample in total.samples])
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
    for reduction in reductions(term):
        divisor = term.divisor(reduction, arrays, shape)
        if divisor is None:
            continue
        batch, rounding = evidence.under(Objective(position, reduction))
        wrong = {
            "analytic": _disagreeing(evidence, batch, rounding, total, divisor),
            "numeric": _disagreeing_numeric(evidence, position, reduction, divisor),
        }
        worst[reduction] = _greatest(evidence, batch, total, divisor)
        witness = next((side for side, names in wrong.items() if names), None)
        if witness and not findings:
            findings.append(_finding(evidence, term, reduction, divisor, told + 1, wrong[witness], witness))
    cost = _cost(evidence, total)
    of = of_term(evidence, term)
    measured = {
        "term": term.name,
        "largest_difference": worst,
        "partial_derivatives": {"batch": cost[0], "per_sample": cost[1]},
        "sentences": [of + words for words in _sentences(worst, cost, evidence.case.point.batch_size, not findings)],
    }
    times = total.samples_seconds / total.batch_seconds if total.batch_seconds else float("nan")
    note = (
        f"{of}per-sample backpropagation: {evidence.case.point.batch_size} times the partial derivatives "
        f"({cost[1]:,} instead of {cost[0]:,}), {times:.1f} times the time of one batch"
    )
    return CheckResult(NAME, "GC301", worst_verdict(["fail"] if findings else []), measured=measured), findings, note


def _bound(evidence: Evidence, total: Sum, name: str, rounding: float) -> Array:
    """γ_K Σ|gᵢ| + 10 s, for the sum-reduced loss; s the tensor's greatest, because each side rounds in its own way.

    rounding  that of the batch's gradient, times its divisor
    """
    measured = max(total.rounding[name], rounding)
    spread = max(float(np.max(evidence.rounding(name), initial=0.0)) * _scale(evidence), measured)
    gamma = contraction_bound(evidence.case.point.batch_size + _INNER_TERMS, evidence.unit)
    bound: Array = gamma * total.magnitude(name) + 10 * spread + evidence.underflow
    return bound


def _scale(evidence: Evidence) -> float:
    """What turns a gradient of the declared objective into one of the sums: the greatest D / weight."""
    network, arrays = evidence.case.network, evidence.stage.arrays
    scales = [1.0]
    for term, losses in zip(network.terms, evidence.analytic.trace.losses, strict=True):
        divisor = term.divisor(term.reduction, arrays, np.shape(losses)) or float(evidence.case.point.batch_size)
        scales.append(abs(divisor / term.weight) if term.weight else 1.0)
    return max(scales)


def _disagreeing(
    evidence: Evidence, batch: Analytic, rounding: Mapping[str, float], total: Sum, divisor: float
) -> Wrong:
    """Of parameters, inputs and activations, those whose batch gradient is not Σ gᵢ / D."""
    wrong = {}
    for name, gradient_of_batch in batch.gradients.items():
        found, alone = evidence.seen(name, gradient_of_batch), total.gradient(name) / divisor
        bound = _bound(evidence, total, name, divisor * rounding[name]) / divisor
        if not np.all(np.abs(found - alone) <= bound):
            wrong[name] = found, alone, bound
    return wrong


def _disagreeing_numeric(evidence: Evidence, position: int, reduction: str, divisor: float) -> Wrong:
    """The same for the numeric gradients of parameters and inputs, within their own errors."""
    wrong = {}
    for name, estimate in evidence.estimates.items():
        summed = estimate.reduced.get((position, "per_sample"))
        if summed is None:
            continue
        found, alone = estimate.reduced[position, reduction], summed / divisor
        bound = 2 * _scale(evidence) / divisor * estimate.error
        if np.any(np.abs(found - alone) > bound):  # not where a step has left the domain of the forward
            wrong[name] = found, alone, bound
    return wrong


def _greatest(evidence: Evidence, batch: Analytic, total: Sum, divisor: float) -> float:
    """The greatest difference among parameters and inputs, relative to the greatest gradient of its tensor."""
    greatest = 0.0
    for name in evidence.names:
        expected = total.gradient(name)
        scale = float(np.max(np.abs(expected), initial=0.0))
        found = evidence.seen(name, batch.gradients[name])
        difference = float(np.max(np.abs(divisor * found - expected), initial=0.0))
        greatest = max(greatest, difference / scale if scale else difference)
    return greatest


def _finding(
    evidence: Evidence, term: Term, reduction: str, divisor: float, told: int, wrong: Wrong, witness: str
) -> Finding:
    """wrong: by name, the batch's gradient, that of the samples alone, and the bound that they exceed."""
    layer = nearest_to_loss(evidence, term, list(wrong))
    node = next((node for node in evidence.case.network.nodes if node.name == layer), None)
    own = () if node is None else (*node.parameters.values(), *node.inputs)
    name = next((n for n in (*own, *evidence.names) if n in wrong), next(iter(wrong)))
    batch, alone, bound = wrong[name]
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(np.abs(batch - alone) - bound)), batch.shape))
    per = f" / {number(divisor)}" if divisor != 1 else ""
    along = name in evidence.names and evidence.probe is not None
    where = f"along direction {index[0] + 1}" if along else f"at {list(index)}"
    message = (
        f"{name}: under `{reduction}` the {witness} gradient of the batch is not the sum of its samples' "
        f"gradients{per}: {where} the batch says {batch[index]:.6g}, the samples alone give "
        f"{alone[index]:.6g}; they may differ by {bound[index]:.1e}"
    )
    parameter = name if name in evidence.names and name in own else None
    return finding(evidence, NAME, told, "GC301", layer, message, parameter, index=None if along else index)


def _cost(evidence: Evidence, total: Sum) -> tuple[int, int]:
    """Partial derivatives with respect to the parameters: of one batch, and of its samples one by one."""
    entries = sum(evidence.stage.arrays[name].size for name in evidence.case.point.parameters)
    return entries, entries * len(total.samples)


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
