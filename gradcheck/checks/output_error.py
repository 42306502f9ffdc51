"""Is what flows back into the last layer the error of the output, prediction - target?

## What it is
Some losses are made for an activation: the derivatives of both, each of them awkward, cancel. Behind linear and mse,
softmax and cross_entropy (the softmax a layer, or within the loss), sigmoid and bce (or bce_with_logits) the gradient
at the pre-activation z is scale (p - y), with the prediction p = z, softmax(z) or σ(z), the target y, and a scale made
of the reduction's divisor and of all weights. Such an end is recognised in the network, by the forward passes of the
layer and the loss, and the gradient that backward gives at z is held against the formula, computed from z, the target
and the options alone. Judged by rounding: γ_K scale (p + y + 1/e) + 10 s, 1/e for the rounding of the exponentials.
GC204: it is something else. Where an option changes the target itself, the report says why the formula is not applied.

## Why it is bad
This is the number that all of backpropagation starts from: every gradient below is wrong with it. It is also the first
thing to look at by hand: it has a sign, a size between -1 and 1 times the scale, and is zero for what is ignored.

## Typical causes
p instead of p - y for ignored targets; the derivative of the softmax taken once more; a factor 2 forgotten in front of
a squared error; divided by the samples, though the mean is over elements, tokens or weights.

## How to repair
Write the backward of the pair as scale (p - y). Let a loss that takes logits have no softmax or sigmoid in front.

## How to silence
`checks: {output_error: false}` in the spec switches it off; `--ignore GC204` ignores its findings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import Outcome, contraction_bound, entry_name, finding, of_term, unusable, without_weight
from gradcheck.checks._divisors import counted
from gradcheck.checks._output_pairs import OutputError, Recognised, inherits, output_error, recognised
from gradcheck.checks._questioning import unrepeatable
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Finding
from gradcheck.gradients.analytic import gradient, spread
from gradcheck.network import Network, Point, Term

Array = NDArray[Any]
NAME = "output_error"
CODES = ("GC204",)
_INNER_TERMS = 64


def run(evidence: Evidence) -> Outcome:
    """Every term of the loss that ends in such a pair; there is nothing to say about the others."""
    results: list[CheckResult] = []
    findings: list[Finding] = []
    for position, term in enumerate(evidence.case.network.terms):
        found = recognised(evidence.case.network, term, evidence.stage.arrays)
        if found is not None:
            result, wrong = _term(evidence, position, term, found, len(findings))
            results.append(result)
            findings += wrong
    return Outcome(tuple(results), tuple(findings))


def _term(
    evidence: Evidence, position: int, term: Term, found: Recognised, told: int
) -> tuple[CheckResult, list[Finding]]:
    reason = unusable(evidence) or unrepeatable(evidence) or without_weight(term) or found.reason
    last = found.nodes[0].name if found.nodes else term.name
    given = evidence.analytic.contributions.get((last, found.array))
    if not reason and given is None:
        reason = f"{found.array} takes no gradient"
    if reason or given is None:
        return CheckResult(NAME, CODES[0], "not_applicable", reason), []
    trace = evidence.analytic.trace
    shape = np.shape(trace.losses[position])
    error = output_error(found, term, trace.arrays, shape)
    expected = np.broadcast_to(error.scale * (error.p - error.y), given.shape)
    allowed = _bound(evidence, term, found, error)
    apart = np.abs(given - expected).astype(np.float64)
    wrong = ~(apart <= allowed)
    measured: dict[str, Any] = {
        "term": term.name,
        "pair": found.pair.words,
        "array": found.array,
        "formula": error.formula,
        "largest_difference": float(np.max(apart, initial=0.0)),
        "rounding": float(np.max(allowed, initial=0.0)),
    }
    if wrong.any():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(np.where(wrong, apart, -1.0))), apart.shape))
        guilty = _guilty(term, found)
        message = (
            f"{guilty}: the gradient at {found.array} should be the error of the output, {error.formula}: at "
            f"{entry_name(found.array, index)} backward says {given[index]:.6g}, the formula {expected[index]:.6g}; "
            f"they may differ by {allowed[index]:.1e}; {int(wrong.sum()):,} of {wrong.size:,} entries are wrong"
        )
        finding_ = finding(evidence, NAME, told + 1, CODES[0], guilty, message)
        return CheckResult(NAME, CODES[0], "fail", measured=measured), [finding_]
    measured["sentences"] = _sentences(evidence, term, shape, measured)
    return CheckResult(NAME, CODES[0], "pass", measured=measured), []


def _bound(evidence: Evidence, term: Term, found: Recognised, error: OutputError) -> Array:
    """γ_K |scale| (p + y + 1/e) + 10 s: an exponential of z rounds by u |log p|, and p |log p| is at most 1/e.

    s is that of the layers between z and the loss, and of the loss, by themselves.
    """
    network = Network(found.nodes, (term,))
    arrays = evidence.analytic.trace.arrays
    names = {found.array, *term.data.values(), *([term.contraction] if term.contraction in arrays else [])}
    point = Point({name: arrays[name] for name in names}, (found.array,), (), evidence.stage.samples & names)
    s = spread(network, point, gradient(network, point))[found.array].greatest
    terms = _INNER_TERMS + (error.p.shape[-1] if error.p.ndim > 1 else 0)
    size = np.abs(error.scale) * (np.abs(error.p) + np.abs(error.y) + np.exp(-1.0))
    gamma = contraction_bound(terms, evidence.unit)
    bound = gamma * size + 10 * np.max(s, initial=0.0) + evidence.underflow
    return np.broadcast_to(bound, error.p.shape).astype(np.float64)


def _guilty(term: Term, found: Recognised) -> str:
    """The part whose backward is not the one that came with its forward, nearest to the loss; else the loss."""
    kinds = reversed(list(zip(found.nodes, found.pair.layers, strict=True)))
    parts: list[tuple[str, Any, str]] = [
        (term.name, term.loss, found.pair.loss),
        *((node.name, node.layer, kind) for node, kind in kinds),
    ]
    own = (name for name, part, kind in parts if not inherits(part, kind, "backward"))
    return next(own, term.name)


def _sentences(evidence: Evidence, term: Term, shape: tuple[int, ...], measured: dict[str, Any]) -> list[str]:
    arrays, of = evidence.stage.arrays, of_term(evidence, term)
    divisor = term.divisor(term.reduction, arrays, shape) or 1.0
    by = f", divided by the {counted(term, term.reduction, divisor, arrays, shape)}" if divisor != 1 else ""
    both = f"the derivatives of {measured['pair']} leave nothing but the error of the output."
    return [
        f"{of}What flows back into {measured['array']} is {measured['formula']}{by}: {both}",
        f"{of}Largest difference {measured['largest_difference']:.0e}; rounding allows {measured['rounding']:.0e}.",
    ]
