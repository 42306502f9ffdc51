"""What belongs to no sample and is counted once: how micro-batches count it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._parts import Parts, Wrong, bound
from gradcheck.checks._recipes import partitions, regulariser_recipes
from gradcheck.errors import LayerFailure
from gradcheck.evidence import Evidence
from gradcheck.gradients.analytic import Objective
from gradcheck.network import Term

Array = NDArray[Any]

TEXTS = {
    "GC403": """A regulariser that every call counts again.

## What it is
Cut into K micro-batches, the sum of the loss has K - 1 times one and the same gradient too much, whatever K is: the
loss holds a term that belongs to no sample, and adds it once in every call. Judged by rounding alone. As a warning: two
terms of the loss are the same penalty on the same parameter.

## Why it is bad
The regulariser is K times as strong under accumulation as in one batch, and its strength depends on how the batch is
cut. The gradient of one call is the derivative of its value, so no gradient check sees it.

## Typical causes
A penalty added to the loss of every micro-batch before they are summed; a penalty within a loss that is then summed
over ranks; weight decay in the loss and in the optimiser; patterns of two penalties that fit the same parameter.

## How to repair
Add the penalty once, after the losses of all micro-batches were summed and divided (a term of its own: `l2_penalty`);
or add to each micro-batch its share, the part of the divisor that it holds.

## How to silence
`checks: {accumulation: false}` in the spec switches the check off; `--ignore GC403` ignores the finding.
""",
}


def counted_again(evidence: Evidence, position: int, cut: Parts, apart: Wrong) -> float | None:
    """Of parts that do not add up: by how much the gradient of all parameters is off, relative to that of the batch.

    None unless Σ gₖ - g = (K - 1) r for every parameter, r the same where each sample is a part of its own. What the
    inputs get may not differ: a regulariser is a function of parameters alone.
    """
    samples = evidence.case.point.batch_size
    alone = (1,) * samples if len(cut.sizes) != samples else (1, samples - 1)
    if len(alone) == len(cut.sizes) or any(name in apart for name in evidence.case.point.inputs):
        return None
    try:
        other = Parts(evidence, position, alone)
    except LayerFailure:
        return None
    if other.at_kink():
        return None
    off = size = 0.0
    for name in evidence.case.point.parameters:
        if name not in evidence.estimates:
            continue
        whole = evidence.seen(name, cut.batch.gradients[name])
        r, again = ((parts.gradient(name) - whole) / (len(parts.sizes) - 1) for parts in (cut, other))
        allowed = sum(bound(evidence, p, name, p.rounding[name]) / (len(p.sizes) - 1) for p in (cut, other))
        if not np.all(np.abs(r - again) <= allowed):
            return None
        off += float(np.sum(((len(cut.sizes) - 1) * r) ** 2))
        size += float(np.sum(whole**2))
    return float(np.sqrt(off / size)) if off and size else None


def recipes(evidence: Evidence, position: int, divisor: float | None) -> list[dict[str, Any]]:
    """For each way to cut the batch, what each recipe for a penalty would be off by, relative to the whole gradient.

    divisor  what the losses of samples are divided by, where there is one such term and it says so
    """
    term, point = evidence.case.network.terms[position], evidence.case.point
    own = evidence.under(Objective(position, term.reduction))[0]
    names = [name for name in point.differentiable(point.parameters) if name not in evidence.case.skipped]

    def norm(gradients: Any, factor: float = 1.0) -> float:
        return abs(factor) * float(np.sqrt(sum(np.sum(np.asarray(gradients[n], dtype=np.float64) ** 2) for n in names)))

    whole = norm(evidence.analytic.gradients)
    found = []
    for words, sizes in partitions(point.batch_size, elementwise=True).items():
        best, *usual = regulariser_recipes(len(sizes), divisor)
        off = [norm(own.gradients, term.weight * (recipe.factors[0] - 1)) for recipe in usual]
        found.append({
            "name": words,
            "samples": list(sizes),
            "right": {"recipe": best.name, "formula": best.formula, "error": 0.0},
            "wrong": [{"recipe": recipe.name, "formula": recipe.formula, "error": error / whole if whole else 0.0,
                       "mistake": recipe.mistake} for recipe, error in zip(usual, off, strict=True)],
        })  # fmt: skip
    return found


def penalised_twice(terms: tuple[Term, ...]) -> Iterator[tuple[Term, Term, list[str]]]:
    """Two terms that are the same penalty, and the parameters that both take."""
    penalties = [term for term in terms if term.loss.of_parameters and term.weight]
    for k, second in enumerate(penalties):
        for first in penalties[:k]:
            both = [name for name in second.predictions if name in first.predictions]
            if type(first.loss) is type(second.loss) and both:
                yield first, second, both
