"""Every entry of a tensor: perturbed copies through what depends on them, and nothing else.

A perturbation of a parameter of layer k leaves every activation before k as it is (prefix reuse); many perturbed copies
ride in one stacked batch; where a layer can say cheaply what changed (one column of its output), only the change
travels on. Layers that couple samples are evaluated copy by copy. A copy at which a forward raises lies outside of its
domain, and its values are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric._domain import Border, split_at_border
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.layers._columns import Columns
from gradcheck.network import Network, Node, Point, guarded

Array = NDArray[Any]
#: Numbers in the widest activation of one stacked evaluation: more falls out of the cache.
CHUNK = 2**16


@dataclass
class Stage:
    """The network at one point, ready to be perturbed.

    coupled    the layers and losses in which one sample can change another
    arrays     every array at the point, activations included
    border     which perturbations are known to leave the domain of the forward
    """

    network: Network
    point: Point
    coupled: frozenset[str]
    observables: Observables
    arrays: Mapping[str, Array] = field(default_factory=dict)
    border: Border = field(default_factory=Border)

    def __post_init__(self) -> None:
        if not self.arrays:
            self.arrays = self.network.forward(self.point).arrays
        outputs = {output for node in self.network.nodes for output in node.outputs}
        self.samples = frozenset(self.point.batched | outputs)
        self._copies: dict[int, Copies] = {}

    def sample_by_sample(self, name: str) -> bool:
        """Whether entry j of an input can be perturbed in all samples at once: no sample sees another."""
        return name in self.samples and not self.coupled and self.observables.sample_by_sample

    def chunk(self, name: str) -> int:
        """How many copies are evaluated together."""
        nodes = self.network.affected([name])
        widest = max((self.arrays[o].size for node in nodes for o in node.outputs), default=1)
        copied = name in self.samples or _is_needed(self, name)
        return max(1, CHUNK // max(1, widest, self.arrays[name].size if copied else 1))

    def copies(self, count: int) -> Copies:
        """The layout for so many copies."""
        if count not in self._copies:
            self._copies[count] = Copies(self.arrays, self.samples, self.point.batch_size, count)
        return self._copies[count]


@dataclass(frozen=True)
class Moves:
    """What is perturbed: for copy k, entry entries[k] of the array `name`.

    fused  the entries are features of one sample (an index without the batch axis), moved in all samples at once
    """

    name: str
    entries: Array
    shape: tuple[int, ...]
    fused: bool

    def __len__(self) -> int:
        return len(self.entries)

    def index(self) -> tuple[Array, ...]:
        """The entries as `numpy.nonzero` gives them."""
        shape = self.shape[1:] if self.fused else self.shape
        return np.unravel_index(self.entries, shape) if shape else ()

    def units(self) -> Array:
        """Flat positions in the array of what moves: (K, 1), or (K, N) where all samples are moved at once."""
        if not self.fused:
            return self.entries[:, None]
        positions: Array = self.entries[:, None] + int(np.prod(self.shape[1:])) * np.arange(self.shape[0])
        return positions

    def applied(self, array: Array, steps: Array) -> Array:
        """The copies: (K, *shape), each with its entry moved by its step.

        steps is (K,), or (K, N) where all samples are moved at once and each has a step of its own.
        """
        moved = np.empty((len(self), *array.shape), dtype=np.result_type(array, steps))
        moved[...] = array
        where = (np.arange(len(self)), *((slice(None),) if self.fused else ()), *self.index())
        moved[where] += steps.reshape(len(self), -1) if self.fused else steps
        return moved

    def chunks(self, size: int) -> Iterator[Moves]:
        """The same moves, so many at a time."""
        for start in range(0, len(self.entries), size):
            yield Moves(self.name, self.entries[start : start + size], self.shape, self.fused)


def perturbed_observables(stage: Stage, moves: Moves, steps: Array, watch: KinkWatch | None = None) -> Array:
    """Observables of the copies -> (K, columns). `watch` is shown every perturbed activation.

    NaN for copies (for samples of copies, where all are moved at once) that lie outside the domain of the forward.
    LayerFailure where a forward raises at the point itself too, or not every time.
    """
    failure = None
    if not stage.border.is_left(moves.name, moves.units(), steps):
        try:
            return _evaluated(stage, moves, steps, watch)
        except LayerFailure as error:
            if error.code != "GC901":
                raise
            failure = error
        _evaluated(stage, moves, 0 * steps, watch)
    return _part_by_part(stage, moves, steps, watch, failure)


def _part_by_part(
    stage: Stage, moves: Moves, steps: Array, watch: KinkWatch | None, failure: LayerFailure | None
) -> Array:
    """The observables where a part of the copies, or of their samples, lies outside the domain."""
    units = moves.units()
    own = np.broadcast_to(steps[:, None], units.shape)
    values = np.full((len(moves), stage.observables.width), np.nan, dtype=np.result_type(float, steps))
    met = np.zeros((len(moves), stage.point.batch_size), dtype=bool)
    by_unit = values.reshape(len(moves), -1, units.shape[1])

    def evaluate(part: Array, factor: float) -> None:
        """Take the values of some units (flat), moved by a factor of their steps while the others stay."""
        rows, columns = np.unravel_index(part, units.shape)
        copies, where = np.unique(rows, return_inverse=True)
        some = np.zeros((len(copies), units.shape[1]), dtype=own.dtype)
        some[where, columns] = factor * own[rows, columns]
        if watch is not None:
            watch.start(len(copies), stage.point.batch_size)
        chosen = replace(moves, entries=moves.entries[copies])
        found = _evaluated(stage, chosen, some if moves.fused else some[:, 0], watch)
        if factor != 1:
            return
        by_unit[rows, :, columns] = found.reshape(len(copies), -1, units.shape[1])[where, :, columns]
        if watch is not None:
            samples = columns if moves.fused else slice(None)
            met[rows, samples] = watch.met[where, samples]

    split_at_border(stage.border, moves.name, units, own, evaluate, failure)
    if watch is not None:
        watch.met = met
    return values


def _evaluated(stage: Stage, moves: Moves, steps: Array, watch: KinkWatch | None) -> Array:
    copies = stage.copies(len(moves))
    changed: dict[str, Array | Columns] = {}
    if moves.name in stage.samples or _is_needed(stage, moves.name):
        changed[moves.name] = moves.applied(stage.arrays[moves.name], steps)
    for node in stage.network.affected([moves.name]):
        if watch is not None:
            watch.see(node, copies, changed)
        changed.update(zip(node.outputs, _through(stage, node, copies, changed, moves, steps), strict=True))
    dense = {name: _dense(change) for name, change in changed.items() if _is_needed(stage, name)}
    if watch is not None:
        watch.see_losses(copies, dense)
    return stage.observables.evaluate(copies, dense, stage.coupled)


def _through(
    stage: Stage, node: Node, copies: Copies, changed: Mapping[str, Array | Columns], moves: Moves, steps: Array
) -> tuple[Array | Columns, ...]:
    owned = moves.name in node.parameters.values() or (moves.name in node.inputs and moves.name not in stage.samples)
    touched = any(name in changed for name in node.inputs)
    cheap = _cheaply(stage, node, changed, moves, steps) if owned != touched else None
    if cheap is not None:
        return (cheap,)
    dense = {name: _dense(changed[name]) for name in node.inputs if name in changed}
    names = (*node.inputs, *node.parameters.values(), *node.constants.values())
    if owned:
        parameter = {moves.name: moves.applied(stage.arrays[moves.name], steps)}
        return _one_by_one(node, copies, names, {**dense, **parameter})
    if node.name in stage.coupled:
        return _one_by_one(node, copies, names, dense)
    outputs, _ = node.apply(copies.stacked(names, dense))
    return tuple(y.reshape(copies.count, copies.batch_size, *y.shape[1:]) for y in outputs)


def _one_by_one(node: Node, copies: Copies, names: tuple[str, ...], changed: Mapping[str, Array]) -> tuple[Array, ...]:
    results = [node.apply(copies.one(k, names, changed))[0] for k in range(copies.count)]
    return tuple(np.stack(outputs) for outputs in zip(*results, strict=True))


def _cheaply(
    stage: Stage, node: Node, changed: Mapping[str, Array | Columns], moves: Moves, steps: Array
) -> Array | Columns | None:
    """What the layer itself offers for a change of one parameter entry, or of one column of its input."""
    if len(node.inputs) != 1 or len(node.outputs) != 1 or node.name in stage.coupled:
        return None
    x, y = stage.arrays[node.inputs[0]], stage.arrays[node.outputs[0]]
    keywords = node.keywords(stage.arrays)
    change = changed.get(node.inputs[0])
    if change is None:
        owned = [name for name, key in node.parameters.items() if key == moves.name]
        if len(owned) != 1 or not node.says("perturbed"):
            return None
        index = moves.index()[::-1] if owned[0] in node.transposed else moves.index()
        with guarded(node.name, "perturbed", node.trusted):
            return node.layer.perturbed(owned[0], index, steps, x, y, **keywords)
    if not isinstance(change, Columns):
        return None
    if node.layer.elementwise and node.says("elementwise"):
        return change.with_values(y, node.part(change.values))
    if not node.says("carry"):
        return None
    with guarded(node.name, "carry", node.trusted):
        return node.layer.carry(change, y, **keywords)


def _is_needed(stage: Stage, name: str) -> bool:
    return any(name in (*term.predictions, *term.data.values()) for term in stage.network.terms)


def _dense(change: Array | Columns) -> Array:
    return change.dense() if isinstance(change, Columns) else change
