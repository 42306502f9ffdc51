"""Directions (or single entries of tensors that are too large for more) that met a kink: what the layers say alone.

Each layer on the path is asked along directions of its own: the one that takes the tensor along that of the tensor, the
layers behind it along random directions of what they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.alone import Alone, Judgement
from gradcheck.checks._at_kinks import AtKinks
from gradcheck.compare import Comparison
from gradcheck.evidence import Evidence
from gradcheck.gradients.numeric.draws import Draws
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.gradients.numeric.probe import LEAST
from gradcheck.network import Node, Term

Array = NDArray[Any]


def directions_at_kinks(
    evidence: Evidence, alone: Alone, name: str, found: Estimate, comparison: Comparison
) -> AtKinks:
    """What is known about directions, or entries, of one tensor that met a kink, or may have met one."""
    nothing = np.zeros(found.value.shape, dtype=bool)
    path = evidence.case.network.affected([name])
    parts: tuple[Node | Term, ...] = (*path, *evidence.case.network.terms)
    doubtful = ~comparison.passes & np.isfinite(comparison.analytic) & comparison.selected
    black_boxes = doubtful & any(not part.trusted for part in parts)
    candidates = (found.kink & comparison.selected) | black_boxes
    if not candidates.any():
        return AtKinks(nothing, nothing, nothing)
    behind = [
        judge_input(evidence, alone, part, operand) for part in parts for operand in _moved_inputs(evidence, part, name)
    ]
    excused, convicted = nothing.copy(), nothing.copy()
    for k in np.flatnonzero(candidates):
        own = [_judge_own(evidence, alone, part, name, int(k)) for part in parts if _takes(part, name)]
        right = all(judged.right for judged in (*own, *behind))
        met = bool(found.kink.flat[k]) or any(judged.met for judged in (*own, *behind))
        excused.flat[k], convicted.flat[k] = met and right, met and not right
    return AtKinks(excused, convicted, nothing)


def direction(evidence: Evidence, name: str, k: int) -> Array:
    """Draw k of a tensor as signs; entry k by itself where entries are looked at."""
    shape = evidence.stage.arrays[name].shape
    if evidence.probe is not None:
        return evidence.probe.draws.ray(name, shape, k).signs
    signs = np.zeros(shape, dtype=np.int8)
    signs.reshape(-1)[k] = 1
    return signs


class Judged(Struct, frozen=True):
    """A layer, about one of its operands.

    met    whether it has a kink where it is
    whole  what is known of every entry, where that was asked for: along a direction kinks of opposite signs hide
           behind each other
    """

    right: bool
    met: bool
    whole: Judgement | None = None


def judge_input(evidence: Evidence, alone: Alone, part: Node | Term, operand: str) -> Judged:
    """A layer along random directions of one of its inputs; entry by entry where it has kinks and is small enough."""

    def compute() -> Judged:
        found = [alone.along(part, operand, signs) for signs in random_directions(evidence, part, operand)]
        met = any(judged.met for judged in found)
        if not all(judged.right for judged in found) or not (met and alone.is_affordable(part, operand)):
            return Judged(all(judged.right for judged in found), met)
        whole = alone.judge(part, operand)
        return Judged(whole.passes, met, whole)

    return evidence.once(("along", part.name, operand), compute)


def _judge_own(evidence: Evidence, alone: Alone, part: Node | Term, name: str, k: int) -> Judged:
    """The layer that takes the tensor itself, along direction k."""
    found = alone.along(part, name, direction(evidence, name, k))
    if found.right and found.met and alone.is_affordable(part, name):
        return Judged(alone.judge(part, name).passes, True)
    return Judged(found.right, found.met)


def random_directions(evidence: Evidence, part: Node | Term, operand: str) -> list[Array]:
    """Directions of an operand, as signs."""
    draws = Draws(LEAST, evidence.case.seed)
    shape = evidence.stage.arrays[operand].shape
    return [draws.ray(f"{part.name} {operand}", shape, draw).signs for draw in range(LEAST)]


def _moved_inputs(evidence: Evidence, part: Node | Term, name: str) -> list[str]:
    """The inputs of a layer that move when a tensor does; not the tensor itself."""
    outputs = {output for node in evidence.case.network.affected([name]) for output in node.outputs}
    names = part.predictions if isinstance(part, Term) else part.inputs
    return [n for n in dict.fromkeys(names) if n in outputs and evidence.stage.arrays[n].dtype.kind == "f"]


def _takes(part: Node | Term, name: str) -> bool:
    """Whether a layer takes the tensor itself."""
    names = part.predictions if isinstance(part, Term) else (*part.inputs, *part.parameters.values())
    return name in names
