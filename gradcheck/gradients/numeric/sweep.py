"""Every entry of a tensor: perturbed copies through what depends on them, and nothing else.

A perturbation of a parameter of layer k leaves every activation before k as it is (prefix reuse); many perturbed copies
ride in one stacked batch; where a layer can say cheaply what changed (one column of its output), only the change
travels on. Layers that couple samples are evaluated copy by copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.layers._columns import Columns
from gradcheck.network import Network, Node, Point

Array = NDArray[Any]
#: Numbers in the widest activation of one stacked evaluation: more falls out of the cache.
CHUNK = 2**16


@dataclass
class Stage:
    """The network at one point, ready to be perturbed.

    coupled    the layers and losses in which one sample can change another
    arrays     every array at the point, activations included
    """

    network: Network
    point: Point
    coupled: frozenset[str]
    observables: Observables
    arrays: Mapping[str, Array] = field(default_factory=dict)

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
        return max(1, CHUNK // max(1, widest, self.arrays[name].size if name in self.samples else 1))

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

    def applied(self, array: Array, steps: Array) -> Array:
        """The copies: (K, *shape), each with its entry moved by its step."""
        moved = np.empty((len(self), *array.shape), dtype=np.result_type(array, steps))
        moved[...] = array
        where = (np.arange(len(self)), *((slice(None),) if self.fused else ()), *self.index())
        moved[where] += steps.reshape(-1, *[1] * (moved[where].ndim - 1))
        return moved

    def chunks(self, size: int) -> Iterator[Moves]:
        """The same moves, so many at a time."""
        for start in range(0, len(self.entries), size):
            yield Moves(self.name, self.entries[start : start + size], self.shape, self.fused)


def perturbed_observables(stage: Stage, moves: Moves, steps: Array, watch: KinkWatch | None = None) -> Array:
    """Observables of the copies -> (K, columns). `watch` is shown every perturbed activation."""
    copies = stage.copies(len(moves))
    changed: dict[str, Array | Columns] = {}
    if moves.name in stage.samples:
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
        local = next((name for name, key in node.parameters.items() if key == moves.name), None)
        if local is None or not node.says("perturbed"):
            return None
        return node.layer.perturbed(local, moves.index(), steps, x, y, **keywords)
    if not isinstance(change, Columns):
        return None
    if node.layer.elementwise and node.says("elementwise"):
        return change.with_values(y, node.part(change.values))
    return node.layer.carry(change, y, **keywords) if node.says("carry") else None


def _is_needed(stage: Stage, name: str) -> bool:
    return any(name in (*term.predictions, *term.data.values()) for term in stage.network.terms)


def _dense(change: Array | Columns) -> Array:
    return change.dense() if isinstance(change, Columns) else change
