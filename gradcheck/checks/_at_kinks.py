"""Entries that sit at a kink: what the layers on their path, each judged alone, say about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.alone import Alone
from gradcheck.compare import Comparison
from gradcheck.evidence import Evidence
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.gradients.numeric.ladder import ladder_steps
from gradcheck.gradients.numeric.local import Interval
from gradcheck.gradients.numeric.schemes import scale_of
from gradcheck.gradients.numeric.sites import sites
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: How many entries of a tensor are asked one by one whether they meet a kink.
_ASKED = 32
#: How far the analytic side may be from its point by rounding, in units of roundoff.
_ROUNDED = 64


class AtKinks(Struct, frozen=True):
    """Entries at a kink for which every layer on the path passed alone, and those for which one did not.

    unseen  those whose kink lies in a layer that does not say where its kinks are: the rounding that was measured there
            may be a change of branch
    """

    excused: Array
    convicted: Array
    unseen: Array


def entries_at_kinks(evidence: Evidence, alone: Alone, name: str, found: Estimate, comparison: Comparison) -> AtKinks:
    """What is known about the entries of one tensor whose perturbation met a kink, or may have met one."""
    doubtful = ~comparison.passes & np.isfinite(comparison.analytic) & comparison.selected
    nothing = np.zeros(found.value.shape, dtype=bool)
    network = evidence.case.network
    path = network.affected([name])
    parts: tuple[Node | Term, ...] = (*path, *network.terms)
    black_boxes = doubtful & any(not part.trusted for part in parts)
    if not (found.kink | black_boxes).any():
        return AtKinks(nothing, nothing, nothing)
    downstream: list[Node | Term] = [*network.terms, *(node for node in path if _receives(node, path))]
    owners: list[Node | Term] = [part for part in parts if name in alone.operands(part)]
    right = np.full(found.value.shape, all(alone.inputs_pass(part) for part in downstream))
    for part in owners:
        judged = alone.judge(part, name)
        right &= judged.right & judged.together
    if black_boxes.any() and not _meets_kink(alone, parts):
        black_boxes = nothing
    if not any(alone.judge(part, operand).tied for part in parts for operand in alone.operands(part)):
        black_boxes = black_boxes & ~_smooth(evidence, name, comparison, black_boxes & right & ~found.kink)
    candidates = found.kink | black_boxes
    return AtKinks(candidates & right, candidates & ~right, black_boxes & ~found.kink)


def _smooth(evidence: Evidence, name: str, comparison: Comparison, excused: Array) -> Array:
    """Of the entries that a kink somewhere would excuse, those that a sharp estimate refutes and that meet none.

    A few are asked: the shortest steps of a ladder, and the rounding of the analytic side, stay on their piece. Where
    numbers are tied nobody can be asked: no single move need show it (the median of three that are equal).
    """
    clear = np.flatnonzero(excused & ~comparison.agrees & (comparison.bar <= comparison.told_apart))
    smooth = np.zeros(excused.shape, dtype=bool)
    asked = clear[np.unique(np.linspace(0, clear.size - 1, min(_ASKED, clear.size)).astype(int))]
    indices = [tuple(int(i) for i in np.unravel_index(entry, excused.shape)) for entry in asked]
    array = evidence.stage.arrays[name]
    step = max(2 * float(ladder_steps(array)[-1]), _ROUNDED * evidence.unit * scale_of(array))
    for index, found in zip(indices, sites(evidence.stage, name, indices, step), strict=True):
        smooth[index] = found.told and not found.count
    return smooth


def _receives(node: Node, path: Sequence[Node]) -> bool:
    """Whether a layer on the path gets its input from another layer on it."""
    outputs = {output for other in path for output in other.outputs}
    return any(name in outputs for name in node.inputs)


def _meets_kink(alone: Alone, parts: Sequence[Node | Term]) -> bool:
    intervals: list[Interval] = [alone.judge(part, name).interval for part in parts for name in alone.operands(part)]
    return any(interval.kink.any() for interval in intervals)
