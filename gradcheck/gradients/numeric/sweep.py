"""Every entry of a tensor: perturbed copies through what depends on them, and nothing else.

A perturbation of a parameter of layer k leaves every activation before k as it is (prefix reuse); many perturbed copies
ride in one stacked batch; where a layer can say cheaply what changed (one column of its output, one channel), only the
change travels on. Along a short complex step it is a real tangent, which elementwise layers and losses answer by slopes
that are measured once for all copies. Layers that couple samples are evaluated copy by copy. A copy at which a forward
raises lies outside of its domain, and its values are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients._moves import moved
from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric._domain import Border, split_at_border
from gradcheck.gradients.numeric._passing import Written, seen, size, through, walk
from gradcheck.gradients.numeric._slopes import sensitivities, slopes
from gradcheck.gradients.numeric._steps import Change, Plain, Step, Tangent
from gradcheck.gradients.numeric.entries import Moves
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP
from gradcheck.layers._columns import Columns
from gradcheck.network import Network, Node, Point

Array = NDArray[Any]
#: Numbers in the widest change of one stacked evaluation: more falls out of the cache.
CHUNK = 2**16
#: Bytes that copies which are evaluated together may take unless anything else is asked for; those of a complex number;
#: and how many arrays of the widest kind a forward makes on its way.
MEMORY, _BYTES, _TEMPORARIES = 1e9, 16, 6


class Passage(Struct, frozen=True):
    """How a change of one array passes a layer.

    owned    the layer has the array itself, as a parameter, or as an input that all samples share
    local    the name by which it has it as a parameter, if it can say cheaply what that changes
    touched  the inputs that change with it
    alone    whether the layer makes one output of one input, each sample for itself
    """

    node: Node
    owned: bool
    local: str | None
    touched: tuple[str, ...]
    alone: bool


@dataclass
class Stage:
    """The network at one point, ready to be perturbed.

    coupled    the layers and losses in which one sample can change another
    arrays     every array at the point, activations included
    border     which perturbations are known to leave the domain of the forward
    memory     bytes that copies which are evaluated together may take
    thorough   whether every copy goes through every forward that is not affine, instead of along its slopes
    """

    network: Network
    point: Point
    coupled: frozenset[str]
    observables: Observables
    arrays: Mapping[str, Array] = field(default_factory=dict)
    border: Border = field(default_factory=Border)
    memory: float = MEMORY
    thorough: bool = False

    def __post_init__(self) -> None:
        if not self.arrays:
            self.arrays = self.network.activations(self.point)
        outputs = {output for node in self.network.nodes for output in node.outputs}
        self.samples = frozenset(self.point.batched | outputs)
        self.seen = frozenset(name for term in self.network.terms for name in term.predictions)
        self._passages: dict[str, tuple[Passage, ...]] = {}
        self._owners: dict[str, Passage | None] = {}
        self._chunks: dict[str, int] = {}
        self._affected: dict[tuple[str, ...], tuple[Node, ...]] = {}
        self._forget()

    def _forget(self) -> None:
        self._copies: dict[int, Copies] = {}
        self._beside: dict[Callable[[Point], Point], Stage] = {}
        self._rounded: dict[int, Stage] = {}
        self._slopes: dict[str, Array | None] = {}
        self._sensitivities: dict[str, Array | None] = {}
        self._influences: dict[str, Array | None] = {}

    def anew(self, point: Point | None = None) -> Stage:
        """The same network, here or at another point; nothing is remembered but how changes pass it."""
        other = object.__new__(Stage)
        other.__dict__.update(self.__dict__)
        other.border = Border()
        if point is not None:
            other.point, other.arrays = point, self.network.activations(point)
        other._forget()
        return other

    def affected(self, names: Iterable[str]) -> tuple[Node, ...]:
        """The layers whose output can change when the named arrays change, in order."""
        key = tuple(names)
        if key not in self._affected:
            self._affected[key] = self.network.affected(key)
        return self._affected[key]

    def beside(self, change: Callable[[Point], Point]) -> Stage:
        """A thorough stage at a point that the function makes of this one; the same for the same function."""
        if change not in self._beside:
            self._beside[change] = self.anew(change(self.point))
            self._beside[change].thorough = True
        return self._beside[change]

    def rounded(self, seed: int) -> Stage:
        """The stage with every activation rounded once more, that of each layer in its own way; ties stay ties."""
        if seed not in self._rounded:
            outputs = [output for node in self.network.nodes for output in node.outputs]

            def once_more(name: str, array: Array) -> Array:
                own = seed * len(outputs) + outputs.index(name)
                return moved(array, own) if array.dtype.kind == "f" else array

            self._rounded[seed] = self.anew()
            self._rounded[seed].arrays = self.network.activations(self.point, once_more)
        return self._rounded[seed]

    def sample_by_sample(self, name: str) -> bool:
        """Whether entry j of an input can be perturbed in all samples at once: no sample sees another."""
        return name in self.samples and not self.coupled and self.observables.sample_by_sample

    def chunk(self, name: str) -> int:
        """How many copies are evaluated together: so many that what changes in them fits the cache, and the memory."""
        if name not in self._chunks:
            widest, _ = self._numbers(name)
            self._chunks[name] = max(1, min(CHUNK // widest, int(self.memory // self.copy_size(name))))
        return self._chunks[name]

    def copy_size(self, name: str) -> int:
        """Bytes that one copy takes beside the network itself, those included that a forward needs on its way."""
        widest, everything = self._numbers(name)
        return _BYTES * (everything + _TEMPORARIES * widest)

    def _numbers(self, name: str) -> tuple[int, int]:
        """Of a copy, the most that change, or are written out for a forward, at any place, and all that change."""
        array, fused = self.arrays[name], self.sample_by_sample(name)
        sizes = [self.arrays[output].size for passage in self.passages(name) for output in passage.node.outputs]
        sizes += [array.size] if name in self.samples or name in self.seen else [1]
        copies = array.size // len(array) if fused else array.size
        if copies * max(sizes) > CHUNK:
            step, moves = Written(self.arrays), Moves(name, np.zeros(1, dtype=int), array.shape, fused)
            with suppress(LayerFailure):
                changed = walk(self, step, moves, 0.0, None)
                seen(self, step, changed)
                sizes = [step.most, *map(size, changed.values())]
        return max(1, *sizes), sum(sizes)

    def copies(self, count: int) -> Copies:
        """The layout for so many copies."""
        if count not in self._copies:
            self._copies[count] = Copies(self.arrays, self.samples, self.point.batch_size, count)
        return self._copies[count]

    def passages(self, name: str) -> tuple[Passage, ...]:
        """The layers that a change of the array passes, in order."""
        if name not in self._passages:
            affected = self.network.affected([name])
            moved = {name, *(output for node in affected for output in node.outputs)} & self.samples
            self._passages[name] = tuple(self._passage(node, name, moved) for node in affected)
        return self._passages[name]

    def _passage(self, node: Node, name: str, moved: Collection[str]) -> Passage:
        uses = [local for local, key in node.parameters.items() if key == name]
        touched = tuple(dict.fromkeys(key for key in node.inputs if key in moved))
        alone = len(node.inputs) == len(node.outputs) == 1 and node.name not in self.coupled
        cheap = len(uses) == 1 and not touched and alone and node.says("perturbed")
        owned = bool(uses) or (name in node.inputs and name not in self.samples)
        return Passage(node, owned, uses[0] if cheap else None, touched, alone)

    def sole_owner(self, name: str) -> Passage | None:
        """The one layer that has a parameter, if it says cheaply what its entries change.

        None where what follows has an activation of more features than there are entries: then to follow these is less.
        """
        if name not in self._owners:
            passages = self.passages(name)
            outputs = [self.arrays[output] for passage in passages for output in passage.node.outputs]
            few = all(math.prod(y.shape[1:]) <= self.arrays[name].size for y in outputs)
            alone = few and bool(passages) and not any(passage.owned for passage in passages[1:])
            self._owners[name] = passages[0] if alone and passages[0].local is not None else None
        return self._owners[name]

    def slopes(self, node: Node) -> Array | None:
        """The tangents of an elementwise layer whose every input moves by 1; None where that says nothing of others."""
        if node.name not in self._slopes:
            self._slopes[node.name] = slopes(node, *(self.arrays[name] for name in (*node.inputs, *node.outputs)))
        return self._slopes[node.name]

    def sensitivities(self, name: str) -> Array | None:
        """Im of the observables where one entry of a prediction moves by 1: (blocks, *shape).

        None where a sample can change another, or where what entries do alone says nothing of what they do together.
        """
        if name not in self._sensitivities:
            coupled = any(term.name in self.coupled for term in self.network.terms)
            separate = self.observables.sample_by_sample and not coupled
            self._sensitivities[name] = sensitivities(self._losses_at, name, self.arrays[name]) if separate else None
        return self._sensitivities[name]

    def influence(self, name: str) -> Array | None:
        """Im of the observables where one entry of an activation moves by 1: (blocks, *shape).

        None where a sample can change another, and where a layer behind does more than to scale entries or to add them
        up: then what a copy does is known from that copy alone.
        """
        if name not in self._influences:
            self._influences[name] = _influence(self, name) if self.sample_by_sample(name) else None
        return self._influences[name]

    def _losses_at(self, changed: Mapping[str, Array], count: int) -> Array:
        return self.observables.evaluate(self.copies(count), changed, self.coupled)


def perturbed_observables(stage: Stage, moves: Moves, steps: Array | complex, watch: KinkWatch | None = None) -> Array:
    """Observables of the copies, for complex steps their imaginary parts -> (K, columns).

    steps is one for all copies, or (K,), or (K, N) where all samples are moved at once and each has a step of its own.
    NaN for copies (for samples of copies, where all are moved at once) that lie outside the domain of the forward.
    LayerFailure where a forward raises at the point itself too, or not every time. `watch` is shown every perturbed
    activation.
    """
    failure = None
    if not stage.border or not stage.border.is_left(moves.name, moves.units(), moves.one_each(steps)):
        try:
            return _evaluated(stage, moves, steps, watch)
        except LayerFailure as error:
            if error.code != "GC901":
                raise
            failure = error
        _evaluated(stage, moves, 0 * steps, watch)
    return _part_by_part(stage, moves, moves.one_each(steps), watch, failure)


def _part_by_part(
    stage: Stage, moves: Moves, steps: Array, watch: KinkWatch | None, failure: LayerFailure | None
) -> Array:
    """The observables where a part of the copies, or of their samples, lies outside the domain."""
    units = moves.units()
    own = np.broadcast_to(steps[:, None], units.shape)
    values = np.full(
        (len(moves), stage.observables.width), np.nan, dtype=np.result_type(float, steps.real, stage.arrays[moves.name])
    )
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


def _evaluated(stage: Stage, moves: Moves, steps: Array | complex, watch: KinkWatch | None) -> Array:
    step = _step(stage, steps)
    if watch is None and isinstance(step, Tangent):
        by_influence = _by_influence(stage, step, moves, steps)
        if by_influence is not None:
            return by_influence
    changed = walk(stage, step, moves, steps, watch)
    if watch is not None:
        watch.see_losses(stage.copies(len(moves)), changed, step)
    if isinstance(step, Tangent):
        along = _along_tangents(stage, moves, changed)
        if along is not None:
            return along
    values = stage.observables.evaluate(stage.copies(len(moves)), seen(stage, step, changed), stage.coupled)
    return values.imag if step.is_complex else values


def _step(stage: Stage, steps: Array | complex) -> Step:
    """How a change by such steps travels."""
    is_complex = isinstance(steps, complex) or np.iscomplexobj(steps)
    if is_complex and not stage.thorough and _is_short(steps):
        return Tangent(stage.arrays)
    return Plain(stage.arrays, is_complex)


def _is_short(steps: Array | complex) -> bool:
    """Whether forwards are linear along complex steps, to the last digit."""
    if not isinstance(steps, np.ndarray):
        return not steps.real and abs(steps) <= COMPLEX_STEP
    return not steps.real.any() and bool(np.abs(steps).max() <= COMPLEX_STEP)


def _by_influence(stage: Stage, step: Tangent, moves: Moves, steps: Array | complex) -> Array | None:
    """Im of the observables, by what each output of the one layer that has the array does to them.

    None where that is not cheaper than to follow every copy, or unknown.
    """
    owner = stage.sole_owner(moves.name)
    influence = None if owner is None else stage.influence(owner.node.outputs[0])
    if owner is None or influence is None:
        return None
    (change,) = through(stage, step, owner, {}, moves, steps)
    return _side_by_side([_contracted(change, block) for block in influence])


def _influence(stage: Stage, name: str) -> Array | None:
    """Σ over the layers that have the activation of what it does through them, and of what a loss sees of it itself."""
    ways = [stage.sensitivities(name)] if name in stage.seen else []
    ways += [_through_one(stage, passage, name) for passage in stage.passages(name) if name in passage.touched]
    known = [way for way in ways if way is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(ways) else None


def _through_one(stage: Stage, passage: Passage, name: str) -> Array | None:
    """Σⱼ of the influence of output j, and of how far it moves where entry i moves by 1: (blocks, *shape)."""
    node = passage.node
    behind = stage.influence(node.outputs[0]) if passage.alone and not passage.owned else None
    if behind is None:
        return None
    if node.layer.elementwise and node.says("elementwise"):
        slopes = stage.slopes(node)
        return None if slopes is None else behind * slopes
    return _through_affine(stage, node, stage.arrays[name], behind) if node.says("carry") else None


def _through_affine(stage: Stage, node: Node, x: Array, behind: Array) -> Array | None:
    """The same for a layer that moves the outputs of every sample alike, whatever its inputs are."""
    features, outputs = x[0].size, math.prod(behind.shape[2:])
    behind = behind.reshape(-1, outputs)
    influence = np.empty((len(behind), features))
    keywords, size = node.keywords(stage.arrays), max(1, CHUNK // max(features, outputs))
    for first in range(0, features, size):
        units = np.eye(min(size, features - first), features, first)
        carried = node.asked("carry", units.reshape(-1, *x.shape[1:]), **keywords)
        if carried is None:
            return None
        np.matmul(behind, carried.reshape(-1, outputs).T, out=influence[:, first : first + size])
    return influence.reshape(-1, *x.shape)


def _along_tangents(stage: Stage, moves: Moves, changed: Mapping[str, Change]) -> Array | None:
    """Im of the observables, by what each prediction alone does to them; None where that is not cheaper, or unknown."""
    found: list[Array] = []
    for name, change in changed.items():
        if name in stage.seen:
            cheaper = math.prod(stage.arrays[name].shape[1:]) <= math.prod(moves.shape[moves.fused :])
            sensitivities = stage.sensitivities(name) if cheaper else None
            if sensitivities is None:
                return None
            found.append(_side_by_side([_contracted(change, block) for block in sensitivities]))
    return sum(found[1:], found[0]) if found else None


def _side_by_side(columns: Sequence[Array]) -> Array:
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)


def _contracted(change: Change, sensitivity: Array) -> Array:
    """Σ over the entries of each sample of its tangent times what that does: (K, N)."""
    if isinstance(change, Columns):
        products: Array = change.moves * change.of(sensitivity)
        if products.shape[2:] == (1,):
            return products[:, :, 0]
        added: Array = np.add.reduce(products.reshape(*products.shape[:2], -1), 2)
        return added
    samples = len(sensitivity)
    tangents = change.reshape(len(change), samples, -1).swapaxes(0, 1)
    sums: Array = (tangents @ sensitivity.reshape(samples, -1, 1))[:, :, 0].T
    return sums
