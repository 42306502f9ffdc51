"""Entries that sit at a kink: what the layers on their path, each judged alone, say about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.alone import Alone
from gradcheck.compare import Comparison
from gradcheck.evidence import Evidence
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.gradients.numeric.local import Interval
from gradcheck.network import Node, Term

Array = NDArray[Any]


@dataclass(frozen=True)
class AtKinks:
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
    candidates = found.kink | black_boxes
    return AtKinks(candidates & right, candidates & ~right, black_boxes & ~found.kink)


def _receives(node: Node, path: Sequence[Node]) -> bool:
    """Whether a layer on the path gets its input from another layer on it."""
    outputs = {output for other in path for output in other.outputs}
    return any(name in outputs for name in node.inputs)


def _meets_kink(alone: Alone, parts: Sequence[Node | Term]) -> bool:
    intervals: list[Interval] = [alone.judge(part, name).interval for part in parts for name in alone.operands(part)]
    return any(interval.kink.any() for interval in intervals)
