"""Units that give the same in every sample, whatever comes in.

## What it is
Units of a layer (channels of an image) whose output did not change in any sample when everything that the layer takes
was moved a little, in both directions, although those inputs depend on parameters: a ReLU below zero for the whole
batch, a saturated sigmoid. What leads to such a unit only, and the weights that meet its zero behind it, have a
gradient of zero, backward says so, and nothing was tested there. The note counts those entries.

## Why it is bad
The rules for those entries could be wrong without being seen. In training the unit learns nothing: if it is dead for
all data, not only for this batch, it is lost for ever.

## Typical causes
A bias far below zero, too great weights or inputs, a learning rate that was too high; a small batch, in which every
sample happens to lie on the same side; a mask that drops the unit.

## How to repair
Check at another point: another seed, more samples, inputs and weights of size 1. If the parameters are those of a
training, start the unit again, or use a leaky activation.

## How to silence
`--ignore GC602`. A note never changes the exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.checks._influence import carried, differs, given_else, small_moves, small_step
from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.network import Node

Array = NDArray[Any]
#: How far a layer's inputs are moved, in units of their size, to wake units that its own parameters hold down.
_WAKING = (1.0, 2.0**5, 2.0**10)


class DeadUnits(Struct, frozen=True):
    """The dead units of one output of a layer, and what was not tested because of them.

    axis   the axis of the output that counts the units; 1 where a sample has one number only
    units  whether each of them is dead
    lost   by tensor, the entries (bool, the tensor's shape)
    """

    node: Node
    output: str
    axis: int
    units: Array
    lost: Mapping[str, Array]

    def over(self, output: Array) -> Array:
        """Whether each entry of the output belongs to a dead unit: to be broadcast over it."""
        return self.units.reshape(-1, *[1] * (output.ndim - 1 - self.axis)) if output.ndim > 1 else self.units


class _Slices(Struct, frozen=True):
    """Some slices of a tensor along one axis."""

    axis: int
    indices: Array

    def mask(self, shape: tuple[int, ...]) -> Array:
        """Their entries."""
        marked = np.zeros(shape or (1,), dtype=bool)
        np.moveaxis(marked, self.axis, 0)[self.indices] = True
        return marked.reshape(shape)

    def halves(self) -> Iterator[_Slices]:
        """One half of them and the other."""
        return (_Slices(self.axis, half) for half in np.array_split(self.indices, 2) if half.size)


def dead_units(stage: Stage, untested: Mapping[str, Array]) -> list[DeadUnits]:
    """Layers with dead units because of which something was not tested.

    untested  by tensor, the entries whose gradient is zero (bool, the tensor's shape)

    An entry is counted once, for the layer nearest to the inputs; what is counted are whole slices of a tensor: columns
    of a weight, entries of a bias, features of an input.
    """
    left = dict(untested)
    found = []
    for node in stage.network.nodes:
        for dead in _dead(stage, node) if any(marked.any() for marked in left.values()) else ():
            lost = {name: _lost(stage, dead, name, untested[name]) & left[name] for name in left}
            lost = {name: marked for name, marked in lost.items() if marked.any()}
            left |= {name: left[name] & ~marked for name, marked in lost.items()}
            if lost:
                found.append(replace(dead, lost=lost))
    return found


def _dead(stage: Stage, node: Node) -> list[DeadUnits]:
    """The outputs of a layer that have dead units, whatever that means for anything else."""
    found = []
    with suppress(LayerFailure):
        for name, unmoved in _unmoved(stage, node).items():
            marked = np.atleast_2d(unmoved.T).T
            axis = next((axis for axis in (1, marked.ndim - 1) if _whole(marked, axis).any()), None)
            if axis is not None:
                found.append(DeadUnits(node, name, axis, _whole(marked, axis), {}))
    return found


def _unmoved(stage: Stage, node: Node) -> dict[str, Array]:
    """By output of a layer with real inputs, which entries stay the same when everything moves that it takes."""
    arrays = stage.arrays
    if not any(arrays[name].dtype.kind == "f" for name in node.inputs):
        return {}
    unmoved = {name: np.ones(arrays[name].shape, dtype=bool) for name in node.outputs}
    for moved in small_moves(arrays, [*node.inputs, *node.parameters.values()]):
        for name, effect in _effects(node, arrays, moved).items():
            unmoved[name] &= ~effect
    return unmoved


def _whole(marked: Array, axis: int) -> Array:
    """Which slices along an axis are marked everywhere."""
    return np.asarray(marked.all(axis=tuple(other for other in range(marked.ndim) if other != axis)))


def _lost(stage: Stage, dead: DeadUnits, name: str, marked: Array) -> Array:
    """Which of the marked entries of a tensor have a gradient of zero because of the dead units."""
    found = np.zeros(marked.shape, dtype=bool)
    with suppress(LayerFailure):
        search = _search(stage, dead, name)
        for axis in range(1 if name in stage.samples else 0, max(1, marked.ndim)):
            whole = np.flatnonzero(_whole(np.atleast_1d(marked), axis))
            for slices in search(_Slices(axis, whole)) if whole.size else ():
                found |= slices.mask(marked.shape)
    return found


def _search(stage: Stage, dead: DeadUnits, name: str) -> Callable[[_Slices], Iterator[_Slices]]:
    """How the slices of a tensor that are lost at the dead units are found: before them, in their layer, or behind."""
    if name in dead.node.parameters.values():
        return partial(_asleep, stage, dead, name, [given_else(dead.node, stage.arrays, factor) for factor in _WAKING])
    if dead.node in stage.network.affected([name]):
        return partial(_lost_on_the_way, stage, dead, name)
    return partial(_asleep, stage, dead, name, [_revived(stage, dead)])


def _lost_on_the_way(stage: Stage, dead: DeadUnits, name: str, slices: _Slices) -> Iterator[_Slices]:
    """Slices that reach the layer, but only where a move of its inputs changes nothing."""
    arrays, node = stage.arrays, dead.node
    changed = carried(stage.network, arrays, {name: _moved(arrays[name], slices)}, until=node)
    reached = {n: differs(changed[n], arrays[n]) for n in node.inputs if n in changed}
    if not any(where.any() for where in reached.values()) or not all(arrays[n].dtype.kind == "f" for n in reached):
        return
    if not _listens(stage, node, reached):
        yield slices
    elif slices.indices.size > 1:
        for half in slices.halves():
            yield from _lost_on_the_way(stage, dead, name, half)


def _listens(stage: Stage, node: Node, where: Mapping[str, Array]) -> bool:
    """Whether any output of a layer changes when its inputs move at the marked entries."""
    arrays = stage.arrays
    for moved in small_moves(arrays, list(where)):
        some = {name: np.where(marked, moved[name], arrays[name]) for name, marked in where.items()}
        if any(effect.any() for effect in _effects(node, arrays, some).values()):
            return True
    return False


def _asleep(
    stage: Stage, dead: DeadUnits, name: str, woken: list[Mapping[str, Array]], slices: _Slices
) -> Iterator[_Slices]:
    """Slices whose move changes nothing here, but something where the dead units are awake.

    woken  all arrays, where they are; of parameters of the layer itself, only those lead to its dead units that change
           nothing else there
    """
    moved = {name: _moved(stage.arrays[name], slices)}
    takers = [n for n in stage.network.nodes if name in (*n.inputs, *n.parameters.values())]
    effects = [effects for arrays in woken for node in takers for effects in [_effects(node, arrays, moved)]]
    if not any(effect.any() for by_output in effects for effect in by_output.values()):
        return
    if slices.indices.size > 1:
        for half in slices.halves():
            yield from _asleep(stage, dead, name, woken, half)
        return
    here = any(effect.any() for node in takers for effect in _effects(node, stage.arrays, moved).values())
    beside = dead.node in takers and any(_outside(dead, by_output) for by_output in effects)
    if not here and not beside:
        yield slices


def _outside(dead: DeadUnits, effects: Mapping[str, Array]) -> bool:
    """Whether anything but the dead units changes."""
    alive = (effect & ~dead.over(effect) if name == dead.output else effect for name, effect in effects.items())
    return any(effect.any() for effect in alive)


def _revived(stage: Stage, dead: DeadUnits) -> Mapping[str, Array]:
    """All arrays, if the dead units gave something else: only a little, which wakes no other units behind them."""
    y = stage.arrays[dead.output]
    awake = y + np.where(dead.over(y), small_step(y), 0.0)
    return {**stage.arrays, **carried(stage.network, stage.arrays, {dead.output: awake})}


def _moved(array: Array, slices: _Slices) -> Array:
    return np.asarray(array + np.where(slices.mask(array.shape), small_step(array), 0.0))


def _effects(node: Node, arrays: Mapping[str, Array], moved: Mapping[str, Array]) -> dict[str, Array]:
    """Which entries of a layer's outputs change when some of what it takes is replaced."""
    before, after = node.apply(arrays)[0], node.apply({**arrays, **moved})[0]
    return {name: differs(y, base) for name, y, base in zip(node.outputs, after, before, strict=True)}
