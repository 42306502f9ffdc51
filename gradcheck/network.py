"""The graph of layers, then the loss: its structure, the numbers it is evaluated at, and its forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from msgspec import Struct
from msgspec.structs import force_setattr, replace
from numpy.typing import NDArray

from gradcheck.calling import arguments, belongs_to, guarded, pair, positional_names
from gradcheck.errors import LayerFailure
from gradcheck.layers._base import Layer
from gradcheck.layers._columns import Columns
from gradcheck.losses._base import DIVIDED_REDUCTIONS, Loss

Array = NDArray[Any]
#: The argument of a backward that wants to know which of its layer's parameters are frozen.
_FROZEN = "frozen"


class Node(Struct, frozen=True):
    """One layer in its place. `parameters` and `constants` map the names forward uses to names in the point.

    `shapes` are those of one sample's outputs. A node that is not `trusted` comes from a plugin: what it does wrong is
    a finding, not a bug of ours. Several nodes may have the same parameter: its gradient is the sum of theirs.

    written     the layer's own name, where it is written once and stands in several places: `tower.linear_1` for the
                nodes `tower_1.linear_1` and `tower_2.linear_1`; elsewhere the node's
    transposed  of which parameters forward takes the transpose of what the point has
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, str]
    constants: Mapping[str, str]
    trusted: bool = True
    shapes: tuple[tuple[int, ...], ...] = ()
    written: str = ""
    transposed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        force_setattr(self, "written", self.written or self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all arrays that it takes or gives."""
        return (*self.inputs, *self.parameters.values(), *self.constants.values(), *self.outputs)

    def keywords(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What forward takes by name."""
        taken = {name: arrays[key] for name, key in self.parameters.items()}
        if self.constants:
            taken.update({name: arrays[key] for name, key in self.constants.items()})
        return {name: self.turned(name, array) for name, array in taken.items()} if self.transposed else taken

    def turned(self, local: str, array: Array) -> Array:
        """What the point has of a parameter as forward takes it, and the other way round."""
        return array.T if local in self.transposed else array

    def apply(self, arrays: Mapping[str, Array]) -> tuple[tuple[Array, ...], Any]:
        """Call forward on its inputs in `arrays` -> (outputs, cache)."""
        return self.call([arrays[name] for name in self.inputs], self.keywords(arrays))

    def call(self, inputs: Sequence[Array], keywords: Mapping[str, Array]) -> tuple[tuple[Array, ...], Any]:
        """Call forward on the given arrays -> (outputs, cache). A plugin gets copies: it cannot change ours."""
        if self.trusted:
            output, cache = self.layer.forward(*inputs, **keywords)
            return output if isinstance(output, tuple) else (output,), cache
        inputs, keywords = [x.copy() for x in inputs], {name: array.copy() for name, array in keywords.items()}
        with guarded(self.name, "forward", self.trusted):
            output, cache = pair(self.layer.forward(*inputs, **keywords), self.name)
        outputs = output if isinstance(output, tuple) else (output,)
        outputs = tuple([np.array(y) if isinstance(y, np.ndarray) else y for y in outputs])
        self._require_shapes(inputs, outputs)
        return outputs, cache

    @property
    def hears_of_frozen(self) -> bool:
        """Whether the layer's backward wants to know which parameters are frozen."""
        return _FROZEN in arguments(self.layer.backward)

    def backward(self, dy: Any, cache: Any, frozen: frozenset[str]) -> Any:
        """Call backward; `frozen` are the names of the parameters that are to receive no gradient."""
        told = {_FROZEN: frozen} if frozen and self.hears_of_frozen else {}
        return self.layer.backward(dy, cache, **told)

    def part(self, x: Array) -> Array:
        """An elementwise layer on some of its input's numbers, in any shape."""
        if self.trusted:
            return cast("Array", self.layer.forward(x)[0])
        with guarded(self.name, "forward", self.trusted):
            return cast("Array", self.layer.forward(x.copy())[0])

    def _require_shapes(self, inputs: Sequence[Array], outputs: tuple[Array, ...]) -> None:
        """A plugin's outputs have the shapes that they had when the network was built, for any number of samples."""
        n = len(inputs[0])
        for y, shape in zip(outputs, self.shapes, strict=False):
            if np.shape(y) != (n, *shape):
                message = f"{self.name}: forward returned shape {np.shape(y)} for {n} samples; expected {(n, *shape)}"
                raise LayerFailure("GC120", self.name, "forward", message)

    def asked(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """What the layer answers beyond its three methods."""
        if self.trusted:
            return getattr(self.layer, method)(*arguments, **keywords)
        with guarded(self.name, method, self.trusted):
            return getattr(self.layer, method)(*arguments, **keywords)

    def says(self, name: str) -> bool:
        """Whether what the layer says beyond its three methods is about its own forward, not an inherited one."""
        return belongs_to(type(self.layer), "forward", name)

    def acts_within(self, columns: Columns) -> bool:
        """Whether the layer keeps to the blocks of its input that change, and may be called on them alone."""
        if self.layer.elementwise and self.says("elementwise"):
            return True
        return columns.axis == 1 and self.layer.channelwise and self.says("channelwise")

    def branches(self, inputs: Sequence[Array], keywords: Mapping[str, Array]) -> Array | None:
        """The layer's `branches` at the given arrays; None where it does not say."""
        if not self.says("branches"):
            return None
        with guarded(self.name, "branches", self.trusted):
            return self.layer.branches(*inputs, **keywords)


class Term(Struct, frozen=True):
    """One term of the loss: weight × reduction(loss(predictions, data))."""

    loss: Loss
    reduction: str
    weight: float
    predictions: tuple[str, ...]
    data: Mapping[str, str]
    trusted: bool = True
    name: str = "loss"

    @property
    def elementwise(self) -> bool:
        """Whether the reduction is applied outside."""
        return not self.loss.reductions

    @property
    def reductions(self) -> tuple[str, ...]:
        """The reductions under which it can be looked at."""
        return DIVIDED_REDUCTIONS if self.elementwise else self.loss.reductions

    @property
    def contraction(self) -> str:
        """Name of the random vector that `none` is contracted with."""
        return f"{self.name}.contraction"

    @property
    def names(self) -> tuple[str, ...]:
        """Of all arrays that it takes."""
        return (*self.predictions, *self.data.values(), self.contraction)

    def apply(self, arrays: Mapping[str, Array], reduction: str | None = None) -> tuple[Any, Any]:
        """Call forward -> (losses or scalar, cache). `reduction` is for the reducing form; default: the term's."""
        keywords: dict[str, Any] = {name: arrays[key] for name, key in self.data.items()}
        predictions = [arrays[name] for name in self.predictions]
        named = {} if self.elementwise else {"reduction": reduction or self.reduction}
        if self.trusted:
            losses, cache = self.loss.forward(*predictions, **keywords, **named)
            return losses, cache
        predictions, keywords = [p.copy() for p in predictions], {k: a.copy() for k, a in keywords.items()}
        with guarded(self.name, "forward", self.trusted):
            return pair(self.loss.forward(*predictions, **keywords, **named), self.name)

    def branches(self, predictions: Sequence[Array], arrays: Mapping[str, Array]) -> Array | None:
        """The loss's `branches` at the given predictions; None where it does not say."""
        if not belongs_to(type(self.loss), "forward", "branches"):
            return None
        with guarded(self.name, "branches", self.trusted):
            return cast(
                "Array | None",
                self.loss.branches(*predictions, **{name: arrays[key] for name, key in self.data.items()}),
            )

    def divisor(self, reduction: str, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]) -> float | None:
        """What the reduction divides the sum by; None where a reducing loss does not say."""
        if reduction in ("sum", "none"):
            return 1.0
        declared = getattr(self.loss, "divisor", None)
        if declared is not None:
            return self._declared_divisor(declared, reduction, arrays, losses_shape)
        if not self.elementwise:
            return None
        return float(np.prod(losses_shape) if reduction == "mean" else losses_shape[0])

    def divisor_name(self, reduction: str, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]) -> str:
        """What the loss itself calls its divisor; empty where it does not say, and the number speaks for itself."""
        declared = getattr(self.loss, "divisor_name", None)
        if declared is None or not belongs_to(type(self.loss), "divisor", "divisor_name"):
            return ""
        with guarded(self.name, "divisor_name", self.trusted):
            return str(self._told(declared, reduction, arrays, losses_shape))

    def _told(
        self, method: Callable[..., Any], reduction: str, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]
    ) -> Any:
        """Call a method that takes by name what forward takes, `reduction` and `losses_shape`."""
        taken = arguments(method)
        told: dict[str, Any] = {name: arrays[key] for name, key in self.data.items() if name in taken}
        for name, key in zip(positional_names(self.loss.forward), self.predictions, strict=False):
            if name in taken:
                told[name] = arrays[key]
        if "reduction" in taken:
            told["reduction"] = reduction
        if "losses_shape" in taken:
            told["losses_shape"] = losses_shape
        return method(**told)

    def _declared_divisor(
        self, declared: Callable[..., Any], reduction: str, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]
    ) -> float:
        with guarded(self.name, "divisor", self.trusted):
            divisor = float(self._told(declared, reduction, arrays, losses_shape))
        if not 0 < divisor < math.inf:
            message = f"{self.name}: divisor returned {divisor:g} for `{reduction}`; expected a positive number"
            raise LayerFailure("GC202", self.name, "divisor", message)
        return divisor


class Point(Struct, frozen=True):
    """Every number that a network is evaluated at, by name, in float64 (rounded to the spec's dtype beforehand).

    arrays      data, parameters (`head.weight`) and constants (`bn.running_mean`)
    inputs      the names of the network's inputs
    parameters  the names of the parameters that the objective is differentiated by
    batched     the names of the arrays that have samples on axis 0
    frozen      the names of the parameters that are constants for the objective: they receive no gradient
    """

    arrays: Mapping[str, Array]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    batched: frozenset[str]
    frozen: frozenset[str] = frozenset()

    @property
    def batch_size(self) -> int:
        """N."""
        return len(self.arrays[self.inputs[0]])

    @property
    def all_parameters(self) -> tuple[str, ...]:
        """Those that are frozen among them, in the order of the layers."""
        return tuple(name for name in self.arrays if name in self.frozen or name in self.parameters)

    def freeze(self, names: Iterable[str]) -> Point:
        """The same point with some parameters frozen."""
        frozen = self.frozen.union(names)
        return replace(self, parameters=tuple(n for n in self.parameters if n not in frozen), frozen=frozen)

    def with_arrays(self, changes: Mapping[str, Array]) -> Point:
        """The same point with some arrays replaced."""
        return replace(self, arrays={**self.arrays, **changes})

    def cast(self, dtype: Any) -> Point:
        """Floating arrays in another precision; integers and booleans as they are."""
        return self.map(lambda array: array.astype(dtype, copy=False))

    def map(self, function: Callable[[Array], Array]) -> Point:
        """The point with a function applied to every floating array."""
        return replace(self, arrays={k: function(a) if a.dtype.kind == "f" else a for k, a in self.arrays.items()})

    def take(self, samples: Array | Sequence[int]) -> Point:
        """The point for some of the samples, in the order given."""
        return self.with_arrays({name: self.arrays[name][samples] for name in self.batched})

    def differentiable(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that are real numbers: integers and booleans are never perturbed."""
        return tuple(name for name in names if self.arrays[name].dtype.kind == "f")


class Trace(Struct, frozen=True):
    """One forward pass: the point's arrays with all activations, and what every backward needs."""

    arrays: Mapping[str, Array]
    caches: Mapping[str, Any]
    losses: tuple[Any, ...]
    loss_caches: tuple[Any, ...]


class Network(Struct, frozen=True):
    """Layers in an order in which every input comes before its use, then the terms of the loss."""

    nodes: tuple[Node, ...]
    terms: tuple[Term, ...]

    def forward(self, point: Point) -> Trace:
        """Evaluate every layer and every term of the loss."""
        caches: dict[str, Any] = {}
        arrays = self.activations(point, caches=caches)
        results = [term.apply(arrays) for term in self.terms]
        return Trace(arrays, caches, tuple(r[0] for r in results), tuple(r[1] for r in results))

    def activations(
        self,
        point: Point,
        on_the_way: Callable[[str, Array], Array] | None = None,
        caches: dict[str, Any] | None = None,
    ) -> dict[str, Array]:
        """Evaluate every layer -> the point's arrays with all activations.

        on_the_way  name and value of an activation -> what the layers behind it get
        caches      where to put what every backward needs
        """
        arrays = dict(point.arrays)
        for node in self.nodes:
            outputs, cache = node.apply(arrays)
            if caches is not None:
                caches[node.name] = cache
            for name, y in zip(node.outputs, outputs, strict=True):
                arrays[name] = y if on_the_way is None else on_the_way(name, y)
        return arrays

    def objective(self, trace: Trace) -> float:
        """The one scalar that is differentiated: Σ weight · reduced loss."""
        return float(
            sum(t.weight * self._reduced(t, losses, trace) for t, losses in zip(self.terms, trace.losses, strict=True))
        )

    def _reduced(self, term: Term, losses: Any, trace: Trace) -> float:
        if not term.elementwise:
            return float(losses)
        if term.reduction == "none":
            return float(np.sum(losses * trace.arrays[term.contraction]))
        divisor = term.divisor(term.reduction, trace.arrays, losses.shape)
        return float(np.sum(losses) / cast("float", divisor))

    def node(self, name: str) -> Node:
        """The layer of that name."""
        return next(node for node in self.nodes if node.name == name)

    def users(self, name: str) -> tuple[Node, ...]:
        """The layers that take a parameter, in order; none for an input."""
        return tuple(node for node in self.nodes if name in node.parameters.values())

    def owner(self, name: str) -> Node | None:
        """The layer that a parameter belongs to, where it stands first; None for an input."""
        return next(iter(self.users(name)), None)

    def producer(self, name: str) -> Node | None:
        """The layer that an activation comes from; None for data."""
        return next((node for node in self.nodes if name in node.outputs), None)

    def reached(self, names: Iterable[str]) -> tuple[Term, ...]:
        """The terms of the loss that can change when the named arrays change."""
        moved = {*names, *(output for node in self.affected(names) for output in node.outputs)}
        return tuple(term for term in self.terms if moved.intersection(term.predictions))

    def affected(self, names: Iterable[str]) -> tuple[Node, ...]:
        """The layers whose output can change when the named arrays change, in order."""
        moved, found = set(names), []
        for node in self.nodes:
            if moved.intersection((*node.inputs, *node.parameters.values())):
                moved.update(node.outputs)
                found.append(node)
        return tuple(found)
