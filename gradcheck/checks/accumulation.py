"""Do micro-batches add up to the gradient of the whole batch?

## What it is
The batch is cut into micro-batches: equal ones, uneven ones (7 : 2 : 4), some with a partial last window, one sample
alone and the rest. Under `sum` their gradients must add up to that of the batch (GC401); under a reduction that
divides, each times its own divisor, Σ Dₖ gₖ = D g (GC402). What belongs to no sample, a penalty on parameters, is
counted once, and not in each micro-batch again (GC403). Judged by rounding alone: γ_K Σ|gₖ| + 10 s. The report says
which recipe is right for this loss, and by how much the usual wrong ones would be off on this batch, relative to the
gradient of all parameters: ‖wrong - right‖ / ‖right‖.

## Why it is bad
Gradient accumulation and data-parallel training promise the gradient of the large batch. A mean of the micro-batches'
means is another one as soon as they differ in size, or in tokens: long samples count less. Nothing fails, and the loss
curve looks plausible; the training libraries had this mistake for years, until 2024.

## Typical causes
A mean over micro-batches that are not equal, in tokens or weights; a last window that is divided by the full number of
micro-batches; the divisor of the last micro-batch used for all; a loss that divides by a fixed batch size instead of by
what it has counted; gradients averaged over ranks that hold unequal shards.

## How to repair
Sum the losses of all micro-batches, count what is to be divided by over all of them, and divide once. Over R ranks that
are averaged afterwards: multiply by R, divide by the divisor of all ranks together.

## How to silence
`checks: {accumulation: false}` in the spec switches it off; `--ignore GC4` ignores its findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import Outcome, finding, number, of_term, without_weight
from gradcheck.checks._divisors import counted
from gradcheck.checks._parts import Parts, Wrong, disagreeing, not_cut, place
from gradcheck.checks._recipes import Recipe, partitions, right, wrong
from gradcheck.checks._regularisers import TEXTS, counted_again, penalised_twice, recipes
from gradcheck.errors import LayerFailure
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Finding, worst_verdict
from gradcheck.gradients.analytic import Objective
from gradcheck.network import Term

Array = NDArray[Any]
NAME = "accumulation"
CODES = ("GC401", "GC402", "GC403")
EXPLAINED = TEXTS
#: Less than this is rounding: a recipe that is off by no more is right on this batch.
_OFF = 1e-6


def run(evidence: Evidence) -> Outcome:
    """Every term of the loss by itself."""
    reason = not_cut(evidence, "the batch has one sample, which cannot be cut into micro-batches")
    if reason:
        return Outcome((CheckResult(NAME, "GC401", "not_applicable", reason),))
    results: list[CheckResult] = []
    findings: list[Finding] = []
    for position, term in enumerate(evidence.case.network.terms):
        result, found = _term(evidence, position, term, len(findings))
        results.append(result)
        findings += found
    for first, second, names in penalised_twice(evidence.case.network.terms):
        message = (
            f"{second.name}: the same penalty as {first.name} on {_listed(names)}, which it counts twice; let the "
            "patterns of both fit different parameters, or give one term the sum of both weights"
        )
        findings.append(finding(evidence, NAME, len(findings) + 1, "GC403", second.name, message, severity="warning"))
    return Outcome(tuple(results), tuple(findings))


def _term(evidence: Evidence, position: int, term: Term, told: int) -> tuple[CheckResult, list[Finding]]:
    reason = without_weight(term)
    if not reason and not any(name in evidence.stage.samples for name in term.predictions):
        return _penalty(evidence, position, term), []
    if not reason and "sum" not in term.reductions:
        reason = f"{term.name} has no reduction `sum`, so there is nothing to add up"
    if reason:
        return CheckResult(NAME, "GC401", "not_applicable", reason), []
    measured: dict[str, Any] = {"term": term.name, "reduction": term.reduction, "partitions": [], "sentences": []}
    findings: list[Finding] = []
    for words, sizes in partitions(evidence.case.point.batch_size, term.elementwise).items():
        try:
            cut = Parts(evidence, position, sizes)
        except LayerFailure as failure:  # the finding about it is that of the samples one by one
            reason = f"micro-batches of {_listed(sizes)} samples cannot be run: {failure.message}"
            measured["partitions"].append({"name": words, "samples": list(sizes), "reason": reason})
            continue
        at_kink = cut.at_kink()
        if at_kink:
            reason = f"{at_kink} lies on a kink within rounding: a part is on another piece there than in its batch"
            return CheckResult(NAME, "GC401", "not_applicable", reason), []
        facts, found = _cut(evidence, term, words, cut, told + 1)
        measured["partitions"].append(facts)
        findings = findings or found
    if all("reason" in facts for facts in measured["partitions"]):
        return CheckResult(NAME, "GC401", "not_applicable", reason, measured), []
    verdict = worst_verdict(["fail"] if findings else [])
    if not findings:
        of = of_term(evidence, term)
        measured["sentences"] = [of + said for said in _sentences(evidence, position, term, measured["partitions"])]
    return CheckResult(NAME, findings[0].code if findings else "GC401", verdict, measured=measured), findings


def _penalty(evidence: Evidence, position: int, term: Term) -> CheckResult:
    """A term that no sample belongs to: what it is worth once, and what counting it again would be off by."""
    of_samples = [other for other in evidence.case.network.terms if not other.loss.of_parameters]
    divisor = None
    if len(of_samples) == 1:
        other = evidence.case.network.terms.index(of_samples[0])
        divisor = _divisor(of_samples[0], of_samples[0].reduction, evidence.stage.arrays,
                           evidence.analytic.trace.losses[other])  # fmt: skip
    cuts = recipes(evidence, position, divisor)
    said = [f"{of_term(evidence, term)}{sentence}" for sentence in _of_penalty(cuts)]
    measured = {"term": term.name, "reduction": term.reduction, "partitions": cuts, "sentences": said}
    return CheckResult(NAME, "GC401", "pass", measured=measured)


def _of_penalty(cuts: Sequence[dict[str, Any]]) -> list[str]:
    uneven = next((cut for cut in cuts if cut["name"] == "uneven"), cuts[0])
    off = [f"{recipe['mistake']} would be off by {_percent(recipe['error'])}" for recipe in uneven["wrong"]]
    said = "No loss of samples: add the penalty once, not once per micro-batch, and divide it by nothing. "
    return [f"{said}In {len(uneven['samples'])} micro-batches {_listed(off)}."]


def _cut(evidence: Evidence, term: Term, words: str, cut: Parts, told: int) -> tuple[dict[str, Any], list[Finding]]:
    """One way to cut the batch: whether the parts add up under each reduction, and what each recipe gives."""
    position = evidence.case.network.terms.index(term)
    facts: dict[str, Any] = {"name": words, "samples": list(cut.sizes)}
    apart = disagreeing(evidence, cut.batch, cut.rounding, cut, 1.0)
    if apart:
        layer = cut.where_lost(term, apart, cut.batch, 1.0)
        again = counted_again(evidence, position, cut, apart) if layer == term.name else None
        if again is not None:
            return facts, [_of_regulariser(evidence, layer, cut, again, told)]
        return facts, [_finding(evidence, layer, "sum", cut, apart, told)]
    for reduction in term.reductions:
        if term.elementwise and (reduction != term.reduction or words != "uneven"):
            continue  # applied outside the loss, each reduction is the sum times a number: one of them says it all
        whole = _divisor(term, reduction, cut.batch.trace.arrays, cut.batch.trace.losses[position])
        divisors = _divisors(term, reduction, cut)
        if reduction == "sum" or whole is None or divisors is None:
            continue
        divided = Parts(evidence, position, cut.sizes, reduction)
        apart = disagreeing(evidence, divided.batch, divided.rounding, divided, whole, divisors)
        if apart:
            layer = divided.where_lost(term, apart, divided.batch, whole, divisors)
            return facts, [_finding(evidence, layer, reduction, cut, apart, told, divisors)]
    return {**facts, **_recipes(evidence, term, cut)}, []


def _divisor(term: Term, reduction: str, arrays: Mapping[str, Array], losses: Any) -> float | None:
    """What the reduction divides by; None where it is not declared, or is no positive number (nothing is valid)."""
    try:
        return term.divisor(reduction, arrays, np.shape(losses))
    except LayerFailure:
        return None


def _divisors(term: Term, reduction: str, cut: Parts) -> list[float] | None:
    """The divisor of each part; None where one has none."""
    position = cut.evidence.case.network.terms.index(term)
    found = [_divisor(term, reduction, part.trace.arrays, part.trace.losses[position]) for part in cut.each]
    return None if any(divisor is None for divisor in found) else [float(d) for d in found if d is not None]


def _finding(
    evidence: Evidence, layer: str, reduction: str, cut: Parts, apart: Wrong, told: int,
    divisors: Sequence[float] | None = None,
) -> Finding:  # fmt: skip
    node = next((node for node in evidence.case.network.nodes if node.name == layer), None)
    own = () if node is None else (*node.parameters.values(), *node.inputs)
    name = next((n for n in (*own, *evidence.names) if n in apart), next(iter(apart)))
    batch, together, allowed = apart[name]
    worst = np.where(np.isfinite(batch - together), np.abs(batch - together) - allowed, np.inf)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(worst)), batch.shape))
    times = f", each times its own divisor ({_listed(divisors)}) and all over that of the batch," if divisors else ""
    where, entry = place(evidence, name, index)
    message = (
        f"{name}: under `{reduction}` the gradients of micro-batches of {_listed(cut.sizes)} samples{times} do not add "
        f"up to the gradient of the batch: {where} the batch says {batch[index]:.6g}, they give "
        f"{together[index]:.6g}; they may differ by {allowed[index]:.1e}"
    )
    parameter = name if name in evidence.names and name in own else None
    code = "GC402" if divisors else "GC401"
    return finding(evidence, NAME, told, code, layer, message, parameter, index=entry)


def _of_regulariser(evidence: Evidence, layer: str, cut: Parts, off: float, told: int) -> Finding:
    k = len(cut.sizes)
    message = (
        f"{layer}: under `sum` the gradients of micro-batches of {_listed(cut.sizes)} samples add up to that of the "
        f"batch and {number(k - 1)} times another one, which is the same however the batch is cut, and grows with each "
        f"cut: a regulariser belongs to no sample, and is counted in each of the {k} calls, which is off by "
        f"{_percent(off)}; add it once, not once per micro-batch"
    )
    return finding(evidence, NAME, told, "GC403", layer, message)


# Recipes --------------------------------------------------------------------------------------------------------------


def _recipes(evidence: Evidence, term: Term, cut: Parts) -> dict[str, Any]:
    """By how much each recipe would be off, for the reduction of the case; nothing where no divisor is declared."""
    position = evidence.case.network.terms.index(term)
    whole = _divisor(term, term.reduction, cut.batch.trace.arrays, cut.batch.trace.losses[position])
    divisors = _divisors(term, term.reduction, cut)
    if whole is None:
        return {}
    samples = evidence.case.point.batch_size
    best = right(len(cut.sizes), whole)
    usual = wrong(divisors, whole, samples, term.reduction) if divisors else []
    batch = _of_batch(evidence, term, cut)
    return {
        "divisors": divisors,
        "divisor": whole,
        "right": {"recipe": best.name, "formula": best.formula, "error": _error(batch, cut, best)},
        "wrong": [
            {"recipe": recipe.name, "formula": recipe.formula, "error": _error(batch, cut, recipe),
             "mistake": recipe.mistake}
            for recipe in usual
        ],
    }  # fmt: skip


def _of_batch(evidence: Evidence, term: Term, cut: Parts) -> dict[str, Array]:
    """The batch's gradients of all parameters, under the reduction of the case; of the inputs where there are none."""
    position = evidence.case.network.terms.index(term)
    reduction = "sum" if term.reduction == "none" else term.reduction
    batch = cut.batch if reduction == "sum" else evidence.under(Objective(position, reduction))[0]
    point = evidence.case.point
    names = point.differentiable(point.parameters) or point.differentiable(point.inputs)
    return {name: evidence.seen(name, batch.gradients[name]) for name in names}


def _error(batch: Mapping[str, Array], cut: Parts, recipe: Recipe) -> float:
    """‖recipe - batch‖ / ‖batch‖."""
    off = sum(float(np.sum((cut.gradient(name, recipe.factors) - whole) ** 2)) for name, whole in batch.items())
    size = sum(float(np.sum(whole**2)) for whole in batch.values())
    return float(np.sqrt(off / size)) if size else 0.0


def _sentences(evidence: Evidence, position: int, term: Term, cuts: Sequence[dict[str, Any]]) -> list[str]:
    known = sorted((cut for cut in cuts if "right" in cut), key=lambda cut: cut["name"] != "uneven")
    uneven = next(iter(known), None)
    if uneven is None:
        return [f"The gradients of micro-batches add up under `sum`; no divisor is declared for `{term.reduction}`."]
    shape = np.shape(evidence.analytic.trace.losses[position])
    by = counted(term, term.reduction, uneven["divisor"], evidence.stage.arrays, shape)
    divide = f"divide once by the {by}" if uneven["divisor"] != 1 else "divide by nothing"
    error = uneven["right"]["error"]
    said = (
        f"Sum the micro-batch losses and {divide}: {f'off by {error:.0e}' if error else 'exact'} for "
        f"{_listed(uneven['samples'])} samples."
    )
    off = [recipe for recipe in uneven["wrong"] if recipe["error"] > _OFF][:_SHOWN]
    if off:
        others = [f"{recipe['mistake']} by {_percent(recipe['error'])}" for recipe in off[1:]]
        first = f"{off[0]['mistake'].capitalize()} would be off by {_percent(off[0]['error'])}"
        said += f" {', '.join((first, *others))}."
    return [said]


#: How many of the wrong recipes a sentence names.
_SHOWN = 2


def _percent(error: float) -> str:
    return f"{100 * error:.2g} %" if error < 1 else f"{number(round(100 * error))} %"


def _listed(values: Sequence[Any]) -> str:
    words = [value if isinstance(value, str) else number(value) for value in values]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
