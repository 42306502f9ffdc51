"""How the change of one tensor passes the layers behind it: cheaply where they can say it, else by their forward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric._steps import Change, Plain, Step, Tangent
from gradcheck.gradients.numeric.entries import Moves
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.layers._columns import Columns
from gradcheck.network import Node

if TYPE_CHECKING:
    from gradcheck.gradients.numeric.sweep import Passage, Stage

Array = NDArray[Any]


def walk(stage: Stage, step: Step, moves: Moves, steps: Array | complex, watch: KinkWatch | None) -> dict[str, Change]:
    """Every change of an activation, in order."""
    changed: dict[str, Change] = {}
    if moves.name in stage.samples or moves.name in stage.seen:
        changed[moves.name] = _started(stage, step, moves, steps)
    for passage in stage.passages(moves.name):
        if watch is not None:
            watch.see(passage.node, stage.copies(len(moves)), changed, step)
        changes = through(stage, step, passage, changed, moves, steps)
        for output, change in zip(passage.node.outputs, changes, strict=True):
            if step.moves_it(output):
                changed[output] = change  # noqa: PERF403 - what is changed is looked at on the way
    return changed


def _started(stage: Stage, step: Step, moves: Moves, steps: Array | complex) -> Change:
    """The change of what is perturbed itself, where it has samples."""
    array, unit = stage.arrays[moves.name], step.unit(steps)
    if moves.fused and array.ndim == 2:
        each = moves.one_each(unit).reshape(len(moves), -1, 1)
        return Columns(1, moves.entries, np.broadcast_to(each, (len(moves), len(array), 1)))
    return moves.applied(np.zeros(array.shape) if isinstance(step, Tangent) else array, unit)


def through(
    stage: Stage, step: Step, passage: Passage, changed: Mapping[str, Change], moves: Moves, steps: Array | complex
) -> tuple[Change, ...]:
    """The changes of a layer's outputs."""
    node = passage.node
    cheap: Change | None = None
    if passage.local is not None:
        x = stage.arrays[node.inputs[0]]
        unit = moves.one_each(step.unit(steps))
        index = moves.index()[::-1] if passage.local in node.transposed else moves.index()
        cheap = node.asked("perturbed", passage.local, index, unit, x, **node.keywords(stage.arrays))
    elif passage.alone and not passage.owned and node.inputs[0] in changed:
        cheap = _carried(stage, step, node, changed[node.inputs[0]])
    if cheap is not None:
        return (cheap,)
    copies = stage.copies(len(moves))
    operands = {name: step.operand(name, changed[name]) for name in passage.touched if name in changed}
    names = (*node.inputs, *node.parameters.values(), *node.constants.values())
    if passage.owned:
        own = ({moves.name: moved} for moved in moves.each(stage.arrays[moves.name], steps))
        return tuple(map(step.outcome, _one_by_one(node, copies, names, operands, own)))
    if node.name in stage.coupled:
        return tuple(map(step.outcome, _one_by_one(node, copies, names, operands)))
    outputs, _ = node.apply(copies.stacked(names, operands))
    return tuple(step.outcome(y.reshape(copies.count, copies.batch_size, *y.shape[1:])) for y in outputs)


def _one_by_one(
    node: Node, copies: Copies, names: tuple[str, ...], changed: Mapping[str, Array],
    own: Iterable[Mapping[str, Array]] | None = None,
) -> tuple[Array, ...]:  # fmt: skip
    """Forward of each copy alone; `own` is what they have for themselves, one after the other."""
    stacked: list[Array] = []
    for k, arrays in enumerate(own or [{}] * copies.count):
        outputs, _ = node.apply({**copies.one(k, names, changed), **arrays})
        if not stacked:
            stacked = [np.empty((copies.count, *y.shape), dtype=y.dtype) for y in outputs]
        for rows, y in zip(stacked, outputs, strict=True):
            rows[k] = y
    return tuple(stacked)


def _carried(stage: Stage, step: Step, node: Node, change: Change) -> Change | None:
    """What a layer of one input can say of its change without a forward on whole copies."""
    (name,), (output,) = node.inputs, node.outputs
    if isinstance(change, Columns):
        if node.acts_within(change):
            return _within(stage, step, node, change)
        if node.says("carry_columns"):
            found: Change | None = node.asked("carry_columns", change, **node.keywords(stage.arrays))
            if found is not None:
                return found if isinstance(found, Columns) else step.carried(output, found)
    if not isinstance(step, Tangent):
        return None
    moves = step.moves(name, change)
    if node.layer.elementwise and node.says("elementwise"):
        slopes = stage.slopes(node)
        return None if slopes is None else moves * slopes
    if not node.says("carry"):
        return None
    carried = node.asked("carry", moves.reshape(-1, *moves.shape[2:]), **node.keywords(stage.arrays))
    return None if carried is None else carried.reshape(*moves.shape[:2], *carried.shape[1:])


def _within(stage: Stage, step: Step, node: Node, change: Columns) -> Columns:
    """The change of a layer that keeps to the blocks that change."""
    if isinstance(step, Tangent) and node.layer.elementwise:
        slopes = stage.slopes(node)
        if slopes is not None:
            return change.with_moves(change.moves * change.of(slopes))
    x, y = (change.of(stage.arrays[name]) for name in (*node.inputs, *node.outputs))
    moved = node.part(step.shifted(x, change.moves).reshape(-1, *x.shape[2:]))
    return change.with_moves(step.answer(y, moved.reshape(y.shape)))


def seen(stage: Stage, step: Step, changed: Mapping[str, Change]) -> dict[str, Array]:
    """The copies of what the losses see."""
    return {name: step.operand(name, change) for name, change in changed.items() if name in stage.seen}


def size(change: Change) -> int:
    return change.moves.size if isinstance(change, Columns) else change.size


class Written(Plain):
    """Plain steps that remember the most numbers that were written out for a forward."""

    most = 0

    def operand(self, name: str, change: Change) -> Array:
        """The copies, counted."""
        copies = super().operand(name, change)
        self.most = max(self.most, copies.size)
        return copies
