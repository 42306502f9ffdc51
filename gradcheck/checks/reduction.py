"""Do `sum` and `mean` differ by the divisor that is declared?

## What it is
The loss and all its gradients under each reduction, analytic and numeric: `sum` must be D times `mean`, D the number
that the mean divides by. Judged by the rounding of the sums alone: |g(sum) - D g(mean)| ≤ γ_K Σ|gᵢ| + 10 s. GC201:
the gradients have another ratio, or none; GC203: the ratio is a count where a sum of weights is declared, or the
reverse; GC202: the gradients are right and the value of the loss is not.

## Why it is bad
A loss that is averaged wrongly agrees with its own finite difference perfectly, so no gradient check sees it. What is
wrong is the objective: the learning rate, the balance between terms and the weight of each sample.

## Typical causes
Divided by the samples where the outputs count too; ignored targets counted as valid; a mean of means over groups of
different sizes; weights normalised by their number instead of their sum.

## How to repair
Sum first and divide once, by the number of losses that were summed. Let `divisor` return that number.

## How to silence
`checks: {reduction: false}` in the spec switches it off; `--ignore GC2` ignores its findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.checks._base import (
    Outcome,
    contraction_bound,
    finding,
    nearest_to_loss,
    number,
    of_term,
    to_sum,
    unusable,
    without_weight,
)
from gradcheck.checks._divisors import describe, fitting, is_of_weights
from gradcheck.checks._questioning import unrepeatable
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Finding, worst_verdict
from gradcheck.gradients.analytic import Analytic, Objective
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.network import Term

Array = NDArray[Any]
NAME = "reduction"
CODES = ("GC201", "GC202", "GC203")
#: Numbers added up inside a backward before the sum over the batch: a generous bound for one layer.
_INNER_TERMS = 64
#: Unit roundoff of the numeric side.
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Numbers of a random vector that a sentence shows.
_SHOWN = 8
#: A spread that is more than rounding in float64.
_VISIBLE = 1e-12
#: How many units in the last place the ratios of the two witnesses may differ by rounding.
_ONE_RATIO = 2.0**12
#: Far above all rounding: where the factor is lost is asked only once it is known to be lost.
_LOST = 1e-6


class Ratio(Struct, frozen=True):
    """sum / mean over all entries: the common factor, how far single entries are from it, and whether it is D.

    layer  the layer nearest to the loss at which the factor is lost
    """

    factor: float
    spread: float
    holds: bool
    layer: str = ""


def run(evidence: Evidence) -> Outcome:
    """Every term of the loss by itself."""
    results: list[CheckResult] = []
    findings: list[Finding] = []
    for position, term in enumerate(evidence.case.network.terms):
        result, found = _term(evidence, position, term, len(findings))
        results.append(result)
        findings += found
    return Outcome(tuple(results), tuple(findings))


def _term(evidence: Evidence, position: int, term: Term, told: int) -> tuple[CheckResult, list[Finding]]:
    known = term.reductions
    reason = unusable(evidence) or unrepeatable(evidence) or without_weight(term)
    if not reason and ("sum" not in known or len(known) < 2):
        reason = f"{term.name} offers only {' and '.join(known)}; two reductions, one of them `sum`, can be compared"
    if reason:
        return CheckResult(NAME, "GC201", "not_applicable", reason), []
    measured: dict[str, Any] = {"term": term.name, "reductions": {}, "sentences": []}
    findings: list[Finding] = []
    for reduction in known:
        if reduction != "sum":
            facts, found = _against_sum(evidence, position, term, reduction, told + len(findings))
            measured["reductions"][reduction] = facts
            measured["sentences"] += facts.pop("sentences")
            findings += found
    if term.elementwise:
        measured["sentences"].append(
            "The reduction of this loss is applied outside it, so this proves that its backward is linear in the "
            "upstream gradient, and nothing more."
        )
    if term.elementwise and term.reduction == "none":
        vector = evidence.stage.arrays[term.contraction]
        measured["contraction"] = vector.tolist()
        head = ", ".join(f"{value:.4g}" for value in vector.reshape(-1)[:_SHOWN])
        more = f", and {vector.size - _SHOWN:,} more in --format json" if vector.size > _SHOWN else ""
        measured["sentences"].append(f"`none` is contracted with a random vector drawn by the seed: {head}{more}.")
    of = of_term(evidence, term)
    measured["sentences"] = [of + sentence for sentence in measured["sentences"]]
    verdict = worst_verdict([facts["verdict"] for facts in measured["reductions"].values()])
    code = findings[0].code if findings else "GC201"
    return CheckResult(NAME, code, verdict, measured=measured), findings


def _against_sum(
    evidence: Evidence, position: int, term: Term, reduction: str, told: int
) -> tuple[dict[str, Any], list[Finding]]:
    """One reduction against `sum`: values, analytic gradients, numeric gradients."""
    arrays = evidence.stage.arrays
    shape = np.shape(evidence.analytic.trace.losses[position])
    declared = term.divisor(reduction, arrays, shape)
    total, reduced, magnitude = _values(evidence, position, term, reduction)
    divisor = declared if declared is not None else _common_ratio(evidence, position, reduction)
    analytic = _analytic(evidence, position, reduction, divisor)
    numeric = _numeric(evidence, position, reduction, declared)
    rounding = contraction_bound(int(np.prod(shape)) + evidence.case.point.batch_size + _INNER_TERMS, evidence.unit)
    if declared is None and not abs(analytic.factor - numeric.factor) <= _ratio_error(evidence) * abs(numeric.factor):
        numeric = replace(numeric, holds=False)
    value_ratio = total / reduced if reduced else float("nan")
    value_holds = abs(total - divisor * reduced) <= rounding * magnitude
    named = describe(term, reduction, declared, arrays, shape)
    facts: dict[str, Any] = {
        "verdict": "pass" if value_holds and analytic.holds and numeric.holds else "fail",
        "expected": declared,
        "expected_words": named,
        "fits": fitting(divisor if declared is None else analytic.factor, term, arrays, shape),
        "value_ratio": value_ratio,
        "analytic_ratio": analytic.factor,
        "analytic_spread": analytic.spread,
        "numeric_ratio": numeric.factor,
        "numeric_spread": numeric.spread,
    }
    declared_one = term.reduction if term.reduction in term.reductions[1:] else term.reductions[1]
    facts["sentences"] = _sentences(reduction, facts, reduction == declared_one)
    findings = []
    if not (analytic.holds and numeric.holds):
        side = "both gradients" if not analytic.holds and not numeric.holds else (
            "the analytic gradient" if not analytic.holds else "the numeric gradient")  # fmt: skip
        message = (
            f"{analytic.layer}: {side} under `sum` should be {named or 'one common factor'} times the one under "
            f"`{reduction}`; measured {number(analytic.factor)} (analytic) and {number(numeric.factor)} (numeric)"
            f"{_fit_words(facts['fits'])}{_spread_words(max(analytic.spread, numeric.spread))}"
        )
        of_weights = is_of_weights(fitting(divisor, term, arrays, shape)) != is_of_weights(facts["fits"])
        code = "GC203" if declared is not None and facts["fits"] and of_weights else "GC201"
        findings.append(finding(evidence, NAME, told + 1, code, analytic.layer, message))
    if not value_holds and not findings:
        message = (
            f"{term.name}: the loss under `sum` should be {named or number(divisor)} times the one under "
            f"`{reduction}`{'' if named else ', as its gradients are'}; measured {number(value_ratio)}"
        )
        findings.append(finding(evidence, NAME, told + 1, "GC202", term.name, message))
    return facts, findings


def _values(evidence: Evidence, position: int, term: Term, reduction: str) -> tuple[float, float, float]:
    """(loss under sum, loss under the reduction, Σ|losses|), in the analytic precision."""
    trace = evidence.analytic.trace
    if not term.elementwise:
        total, reduced = (float(term.apply(trace.arrays, r)[0]) for r in ("sum", reduction))
        return total, reduced, _magnitude(evidence, term)
    losses = np.asarray(trace.losses[position])
    divisor = term.divisor(reduction, trace.arrays, losses.shape) or 1.0
    return float(losses.sum()), float(np.sum(losses / losses.dtype.type(divisor))), float(np.abs(losses).sum())


def _magnitude(evidence: Evidence, term: Term) -> float:
    """Σᵢ Σ|pᵢ| + |loss of sample i|: what cancels inside a loss that reduces by itself is of the predictions' size."""
    names = (*term.predictions, *term.data.values())
    samples, arrays = evidence.stage.samples, evidence.analytic.trace.arrays
    size = sum(float(np.sum(np.abs(arrays[name]))) for name in term.predictions)
    for i in range(evidence.case.point.batch_size):
        one = {name: arrays[name][i : i + 1] if name in samples else arrays[name] for name in names}
        size += abs(float(term.apply(one, "sum")[0]))
    return size


def _common_ratio(evidence: Evidence, position: int, reduction: str) -> float:
    """The factor between the gradients under `sum` and under the reduction: what an undeclared divisor must be."""
    total, reduced = (
        _in_float64(evidence.under(Objective(position, r))[0], evidence.names) for r in ("sum", reduction)
    )
    factor = _factor(total, reduced)
    return factor if np.isfinite(factor) else 1.0


def _ratio_error(evidence: Evidence) -> float:
    """How far, relatively, the ratios that the two witnesses measure may lie apart."""
    estimates = evidence.estimates.values()
    size = np.sqrt(sum(float(np.sum(e.value**2)) for e in estimates))
    error = np.sqrt(sum(float(np.sum(e.error**2)) for e in estimates))
    return float(_ONE_RATIO * evidence.unit + (10 * error / size if size else 0.0))


def _factor(total: Mapping[str, Array], reduced: Mapping[str, Array]) -> float:
    """The factor that fits best, Σ g(sum) g(mean) / Σ g(mean)²; NaN where all gradients are zero."""
    down = sum(float(np.sum(found**2)) for found in reduced.values())
    return sum(float(np.sum(total[name] * reduced[name])) for name in total) / down if down else float("nan")


def _analytic(evidence: Evidence, position: int, reduction: str, divisor: float) -> Ratio:
    total, rounded = evidence.under(Objective(position, "sum"))
    reduced, reduced_rounded = evidence.under(Objective(position, reduction))
    bounds = {
        name: _bound(evidence, position, name, max(rounded[name], divisor * reduced_rounded[name]))
        + evidence.underflow * (1 + divisor)
        for name in evidence.names
    }
    found = _ratio(_seen(evidence, total, bounds), _seen(evidence, reduced, bounds), bounds, divisor)
    return replace(found, layer=_where_lost(evidence, position, total, reduced, divisor))


def _where_lost(evidence: Evidence, position: int, total: Analytic, reduced: Analytic, divisor: float) -> str:
    """A backward that is not linear in its upstream gradient loses a factor that the loss has kept."""

    def is_lost(above: Array, below: Array) -> bool:
        up, down = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
        return bool(np.any(np.abs(up - divisor * down) > _LOST * np.max(np.abs(up), initial=0.0)))

    def disagrees(layer: str, name: str) -> bool:
        return is_lost(total.contributions[layer, name], reduced.contributions[layer, name])

    lost = [name for name in total.gradients if is_lost(total.gradients[name], reduced.gradients[name])]
    return nearest_to_loss(evidence, evidence.case.network.terms[position], lost, disagrees)


def _in_float64(analytic: Analytic, names: Iterable[str]) -> dict[str, Array]:
    return {name: np.asarray(analytic.gradients[name], dtype=np.float64) for name in names}


def _seen(evidence: Evidence, analytic: Analytic, names: Iterable[str]) -> dict[str, Array]:
    """Entry by entry, or along the directions that were drawn."""
    return {name: evidence.seen(name, analytic.gradients[name]) for name in names}


def _bound(evidence: Evidence, position: int, name: str, rounding: float) -> Array:
    """γ_K Σ|gᵢ| + 10 s for the sum-reduced term; s the tensor's greatest, because each side rounds in its own way."""
    gamma = contraction_bound(evidence.case.point.batch_size + _INNER_TERMS, evidence.unit)
    scale = _scale(evidence, position)
    s = max(scale * evidence.greatest_rounding(name), rounding)
    bound: Array = gamma * scale * evidence.estimates[name].magnitude + 10 * s
    return bound


def _numeric(evidence: Evidence, position: int, reduction: str, divisor: float | None) -> Ratio:
    """None for a divisor that is not declared: then the numeric gradients must have a common ratio of their own.

    Entries whose every step has left the domain of the forward say nothing.
    """
    known = {name: np.isfinite(e.value + e.error) for name, e in evidence.estimates.items()}

    def each(of: Callable[[Estimate], Array]) -> dict[str, Array]:
        return {name: np.where(known[name], of(e), 0.0) for name, e in evidence.estimates.items()}

    total, reduced = each(lambda e: e.reduced[position, "sum"]), each(lambda e: e.reduced[position, reduction])
    scale = _scale(evidence, position)
    added_up = contraction_bound(evidence.case.point.batch_size + _INNER_TERMS, _UNIT)
    bounds = each(lambda e: 2 * scale * e.error + added_up * np.abs(e.reduced[position, "sum"]))
    return _ratio(total, reduced, bounds, _factor(total, reduced) if divisor is None else divisor)


def _scale(evidence: Evidence, position: int) -> float:
    """What turns an error of the declared objective into one of the sum."""
    term = evidence.case.network.terms[position]
    shape = np.shape(evidence.analytic.trace.losses[position])
    divisor = term.divisor(term.reduction, evidence.stage.arrays, shape)
    if divisor is None:
        divisor = _common_ratio(evidence, position, term.reduction)
    return to_sum(term, divisor, evidence.stage.arrays)


def _ratio(
    total: Mapping[str, Array], reduced: Mapping[str, Array], bounds: Mapping[str, Array], divisor: float
) -> Ratio:
    """The factor that fits best, and whether every entry obeys the declared one."""
    factor = _factor(total, reduced)
    greatest = max((float(np.max(np.abs(total[n]), initial=0.0)) for n in bounds), default=0.0)
    spread = max((float(np.max(np.abs(total[n] - factor * reduced[n]), initial=0.0)) for n in bounds), default=0.0)
    holds = all(bool(np.all(np.abs(total[n] - divisor * reduced[n]) <= bounds[n])) for n in bounds)
    return Ratio(factor, spread / greatest if greatest else 0.0, holds)


def _sentences(reduction: str, facts: dict[str, Any], with_step: bool) -> list[str]:
    measured = number(round(facts["analytic_ratio"], 9))
    greatest = max(facts["analytic_spread"], facts["numeric_spread"])
    spread = f"spread {greatest:.0e}" if greatest else "exactly"
    if not np.isfinite(facts["analytic_ratio"]):
        return [f"sum / {reduction}: all gradients are zero, so there is no ratio to measure."]
    if facts["expected"] is None:
        fits = ", ".join(facts["fits"]) or "nothing that was counted here"
        return [f"sum / {reduction}: no divisor is declared; measured {measured} ({spread}), which fits {fits}."]
    first = f"sum / {reduction}: expected {facts['expected_words']}, measured {measured} ({spread})."
    if facts["verdict"] == "fail" or not with_step:
        return [first]
    step = (
        f"A step under `sum` is {measured} times as long as under `{reduction}`: "
        f"divide the learning rate by {measured} when you change to `sum`."
    )
    return [first, step]


def _spread_words(spread: float) -> str:
    return f"; single entries are off by up to {spread:.1e} of the greatest one" if spread > _VISIBLE else ""


def _fit_words(fits: list[str]) -> str:
    return f", which fits {', '.join(fits)}" if fits else ""
