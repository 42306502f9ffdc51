"""Builds a network layer by layer, learning every shape from the layers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.calling import guarded
from gradcheck.errors import LayerFailure, ShapeError
from gradcheck.layers._base import Layer
from gradcheck.naming import spec_name
from gradcheck.network import Network, Node, Point, Term

Array = NDArray[Any]


@dataclass
class Assembly:
    """A network that is being built.

    data      inputs, targets and weights by name
    inputs    the names of the network's inputs
    batched   the names of the arrays that have samples on axis 0
    weights   the user's own parameters by full name; the others are drawn
    ties      parameters by full name that are others, of layers before them: (its name, whether it is transposed)
    """

    data: Mapping[str, Array]
    inputs: tuple[str, ...]
    batched: frozenset[str]
    seed: int
    dtype: str = "float64"
    weights: Mapping[str, Array] = field(default_factory=dict)
    ties: Mapping[str, tuple[str, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.arrays: dict[str, Array] = {name: self._rounded(array) for name, array in self.data.items()}
        self.point_names = list(self.arrays)
        self.parameters: list[str] = []
        self.batched = frozenset(self.batched)
        self.nodes: list[Node] = []
        self.terms: list[Term] = []

    def add(
        self, name: str, layer: Layer, inputs: tuple[str, ...], trusted: bool = True, written: str = ""
    ) -> Node:  # fmt: skip
        """Append a layer. ShapeError says which two layers do not fit; LayerFailure is a plugin's own.

        written  the layer's own name, where it stands in several places: so are its parameters called, which are drawn
                 once, and its constants, except for those that have samples: they are drawn for every place
        """
        written = written or name
        shapes = [self.arrays[i].shape for i in inputs]
        try:
            with guarded(name, "check", trusted):
                layer.check(*shapes)
            with guarded(name, "init", trusted):
                drawn = dict(layer.init(self._rng(written), *shapes))
            with guarded(name, "constants", trusted):
                constants = {
                    key: dict(layer.constants(self._rng(key, "constants"), *shapes)) for key in (written, name)
                }
            own = {k: self._constant(written, name, k, layer, array) for k, array in constants[written].items()}
            tied = {k: self.ties.get(f"{written}.{k}", (f"{written}.{k}", False)) for k in drawn}
            node = Node(
                name, layer, inputs, (name,), {k: key for k, (key, _) in tied.items()},
                {k: f"{owner}.{k}" for k, owner in own.items()}, trusted, written=written,
                transposed=frozenset(k for k, (_, transposed) in tied.items() if transposed),
            )  # fmt: skip
            self._keep(node, drawn, {k: constants[owner][k] for k, owner in own.items()})
            outputs, _ = node.apply(self.arrays)
        except ShapeError as error:
            raise ShapeError(f"{name} ({spec_name(type(layer))}) {error}; {self._origin(inputs)}") from None
        if len(outputs) > 1:
            node = replace(node, outputs=tuple(f"{name}.{k}" for k in range(len(outputs))))
        for key, output in zip(node.outputs, outputs, strict=True):
            self.arrays[key] = self._sound(node, output)
        node = replace(node, shapes=tuple(self.arrays[key].shape[1:] for key in node.outputs))
        self.nodes.append(node)
        return node

    def add_term(self, term: Term, possible: Mapping[str, Array] | None = None) -> None:
        """Append a term of the loss. ShapeError where the target does not fit.

        possible: arrays as they might have been drawn, which must fit too.
        """
        drawn = {**self.arrays, **(possible or {})}
        data: dict[str, Any] = {name: drawn[key] for name, key in term.data.items()}
        try:
            with guarded(term.name, "check", term.trusted):
                term.loss.check(*[self.arrays[p].shape for p in term.predictions], **data)
                term.loss.check_values(*[self._rounded(self.arrays[p]) for p in term.predictions])
            losses, _ = term.apply(self.arrays)
        except ShapeError as error:
            raise ShapeError(f"{spec_name(type(term.loss))} {error}; {self._origin(term.predictions)}") from None
        self._check_losses(term, losses)
        if term.elementwise and term.reduction == "none":
            self.arrays[term.contraction] = self._rounded(_contraction(self._rng(term.contraction), losses.shape))
            self.point_names.append(term.contraction)
            self.batched |= {term.contraction}
        self.terms.append(term)

    def network(self) -> tuple[Network, Point]:
        """The finished network, and the point that it was built at."""
        arrays = {name: self.arrays[name] for name in self.point_names}
        point = Point(arrays, self.inputs, tuple(self.parameters), self.batched)
        return Network(tuple(self.nodes), tuple(self.terms)), point

    def _keep(self, node: Node, drawn: Mapping[str, Array], constants: Mapping[str, Array]) -> None:
        for local, array in drawn.items():
            key = node.parameters[local]
            self._require_real(node, local, array)
            if key in self.parameters:
                self._require_shape(node, local, np.shape(array))
                continue
            own = self.weights.get(key)
            if own is not None and own.shape != np.shape(array):
                raise ShapeError(f"has {key} with shape {np.shape(array)}, the given weights have {own.shape}")
            self.arrays[key] = self._rounded(np.asarray(array if own is None else own))
            self.parameters.append(key)
            self.point_names.append(key)
        for local, array in constants.items():
            key = node.constants[local]
            if key in self.arrays:
                continue
            self.arrays[key] = self._rounded(np.asarray(array))
            self.point_names.append(key)
            if local in node.layer.per_sample:
                self.batched |= {key}

    def _constant(self, written: str, name: str, local: str, layer: Layer, array: Any) -> str:
        """Whose a constant is: the layer's, wherever it stands, or that of this one place."""
        known = self.arrays.get(f"{written}.{local}")
        alike = known is None or known.shape == np.shape(array)
        return written if alike and local not in layer.per_sample else name

    def _require_shape(self, node: Node, local: str, shape: tuple[int, ...]) -> None:
        """What was drawn elsewhere, for the same layer or for another, has the shape that is needed here."""
        found = node.turned(local, self.arrays[node.parameters[local]]).shape
        if found != shape:
            message = f"needs `{local}` with the shape {shape} here, but {node.parameters[local]} has {found}"
            raise ShapeError(message)

    def _require_real(self, node: Node, local: str, array: Any) -> None:
        found = getattr(array, "dtype", None)
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not np.isfinite(array).all():
            words = f"an array of {found}" if found is not None else type(array).__name__
            is_real = isinstance(array, np.ndarray) and array.dtype.kind == "f"
            words += " with NaN or Inf in it" if is_real else ""
            message = f"{node.name}: init returned {words} for `{local}`; a parameter is an array of finite floats"
            raise LayerFailure("GC115" if is_real else "GC505", node.name, "init", message, node.parameters[local])

    def _sound(self, node: Node, output: Any) -> Array:
        if node.trusted:
            return cast("Array", output)
        n = self.arrays[self.inputs[0]].shape[0]
        if not isinstance(output, np.ndarray) or output.ndim < 1 or output.shape[0] != n:
            got = getattr(output, "shape", type(output).__name__)
            message = f"{node.name}: forward returned {got}; expected an array with the batch of {n} on axis 0"
            raise LayerFailure("GC120", node.name, "forward", message)
        if output.dtype.kind not in "fiub":
            message = f"{node.name}: forward returned an array of {output.dtype} for real inputs; expected real numbers"
            raise LayerFailure("GC505", node.name, "forward", message)
        if not np.isfinite(output).all():
            message = f"{node.name}: forward returned NaN or Inf for finite inputs"
            raise LayerFailure("GC115", node.name, "forward", message)
        return output

    def _check_losses(self, term: Term, losses: Any) -> None:
        n = self.arrays[self.inputs[0]].shape[0]
        shape = np.shape(losses)
        wrong = (not shape or shape[0] != n) if term.elementwise else shape != ()
        if wrong:
            expected = f"losses of shape ({n}, ...)" if term.elementwise else "a scalar"
            message = f"{term.name}: forward returned shape {shape}; expected {expected}"
            raise LayerFailure("GC120", term.name, "forward", message)
        if not np.isfinite(losses).all():
            message = f"{term.name}: forward returned NaN or Inf for finite inputs"
            raise LayerFailure("GC115", term.name, "forward", message)

    def _origin(self, inputs: tuple[str, ...]) -> str:
        sources = []
        for name in inputs:
            producer = next((n for n in self.nodes if name in n.outputs), None)
            source = f"{name} ({spec_name(type(producer.layer))})" if producer else f"the data `{name}`"
            sources.append(f"{source} gives {self.arrays[name].shape}")
        return ", ".join(sources)

    def _rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *"/".join(names).encode()])

    def _rounded(self, array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        return np.asarray(array, dtype=self.dtype, order="C").astype(np.float64)


def _contraction(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers of both signs between 1/2 and 3/2, so that every loss counts about as much as any other."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))
