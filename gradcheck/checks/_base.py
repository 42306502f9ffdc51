"""What a check hands to the pipeline, and the words that several checks use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from gradcheck.alone import Accused
from gradcheck.evidence import Evidence
from gradcheck.findings import CheckResult, Entry, Finding, Row
from gradcheck.network import Node, Term

Array = NDArray[Any]


class Outcome(Struct, frozen=True):
    """Results, findings and rows of one check.

    gradients  arrays for `--dump`, by name
    notes      what varies from run to run: it belongs on stderr
    accused    the layers that its findings call guilty, for a diagnosis
    """

    results: tuple[CheckResult, ...]
    findings: tuple[Finding, ...] = ()
    parameters: tuple[Row, ...] = ()
    inputs: tuple[Row, ...] = ()
    gradients: Mapping[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    accused: tuple[Accused, ...] = ()


def finding(
    evidence: Evidence,
    check: str,
    number: int,
    code: str,
    layer: str,
    message: str,
    parameter: str | None = None,
    entry: Entry | None = None,
    consequence_of: str | None = None,
    severity: str = "error",
    index: tuple[int, ...] | None = None,
) -> Finding:
    """A finding with its place in the spec and the command that repeats it; `entry` brings its own index.

    layer  a layer's name, or the name of one of its places: the finding is about the layer
    """
    index = entry.index if entry else index
    written = {node.name: node.written for node in evidence.case.network.nodes}
    terms = [term.name for term in evidence.case.network.terms]
    return Finding(
        id=f"{check}-{number}",
        code=code,
        severity=severity,
        layer="loss" if layer in terms else written.get(layer, layer),
        message=message,
        parameter=parameter,
        index=index if parameter else None,
        location=evidence.case.locations.get(layer),
        consequence_of=consequence_of,
        replay=replay(evidence, parameter, index),
        evidence=entry,
    )


def of_term(evidence: Evidence, term: Term) -> str:
    """Which term of the loss a sentence is about: empty if there is only one."""
    return f"{term.name}: " if len(evidence.case.network.terms) > 1 else ""


def nearest_to_loss(
    evidence: Evidence, term: Term, wrong: Collection[str], disagrees: Callable[[str, str], bool] | None = None
) -> str:
    """The layer nearest to a term of the loss that turns agreeing gradients into disagreeing ones; or the term.

    wrong      the names of the arrays whose gradients disagree
    disagrees  whether the share of one layer (or term) in such a gradient does: of an array that several layers take,
               only some have to be wrong
    """
    parts: tuple[Term | Node, ...] = (term, *reversed(evidence.case.network.nodes))
    takers = []
    for part in parts:
        names = part.predictions if isinstance(part, Term) else (*part.inputs, *part.parameters.values())
        takers += [(part.name, name) for name in names if name in wrong]
    certain = (part for part, name in takers if disagrees is not None and disagrees(part, name))
    return next(certain, takers[0][0] if takers else term.name)


def replay(evidence: Evidence, name: str | None, index: tuple[int, ...] | None) -> str:
    """The command that repeats the run; just one entry of it where it is about one."""
    if name is None or index is None or name not in evidence.estimates:
        return evidence.replay
    scheme = evidence.estimates[name].scheme
    return f"{evidence.replay} --method {scheme} --entry '{entry_name(name, index)}'"


def entry_name(name: str, index: tuple[int, ...]) -> str:
    """`head.weight[3, 5]`."""
    return f"{name}[{', '.join(map(str, index))}]"


def entry_at(index: tuple[int, ...], analytic: Array, numeric: Array, bar: Array) -> Entry:
    """One entry as evidence."""
    a, n, b = float(analytic[index]), float(numeric[index]), float(bar[index])
    distance = abs(a - n) if np.isfinite(a - n) else float("inf")
    ratio = 0.0 if distance == 0 else (distance / b if b > 0 else float("inf"))
    return Entry(index, a, n, b, ratio)


def number(value: float) -> str:
    """A number for a sentence: whole numbers whole, others with six digits."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def contraction_bound(terms: int, unit: float) -> float:
    """γ_K = K u / (1 - K u), the rounding of a contraction of K terms (Higham, Accuracy and Stability, 3.1)."""
    return terms * unit / (1 - terms * unit)


def to_sum(term: Term, divisor: float, arrays: Mapping[str, Array]) -> float:
    """What turns an error of the declared objective into one of the sum-reduced term, at most: D / |weight|.

    Under `none`, whose D is 1, a loss that counts |c| times may be off by 1 / |c| times as much.
    """
    least = float(np.min(np.abs(arrays[term.contraction]), initial=1.0)) if term.contraction in arrays else 1.0
    return abs(divisor / (term.weight * least)) if term.weight and least else 1.0


def without_weight(term: Term) -> str:
    """Why an identity of gradients cannot be asked of a term: they vanish in the objective; empty if they do not."""
    return "" if term.weight else f"the weight of {term.name} is 0, so it has no gradient"


def unusable(evidence: Evidence) -> str:
    """Why an identity of gradients cannot be asked: a backward that gave no usable gradient; empty if all did."""
    failure = next(iter(evidence.failures), None)
    return f"the backward pass failed at {failure.node}" if failure else ""
