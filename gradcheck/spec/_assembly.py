"""Layers with their places -> a network whose shapes all fit, as far as they are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct, field

from gradcheck.assembly import Assembly
from gradcheck.errors import LayerFailure, ShapeError
from gradcheck.network import Network, Point, Term
from gradcheck.spec._arity import drawn_by, inputs_of, said
from gradcheck.spec._data import Arrays
from gradcheck.spec._items import Item, Module, Source
from gradcheck.spec._parameters import ParameterPlan
from gradcheck.spec._problems import Place, counted
from gradcheck.spec._units import Reading


class Scope(Struct, frozen=True):
    """Where the names in `inputs` are looked up: the network, or one use of a module.

    prefix   what stands before the names of its layers: `tower_1.`
    written  what stands before their names in the module: `tower.`
    outputs  by name of a layer, a use, or an input of the module, the arrays that it stands for
    """

    prefix: str = ""
    written: str = ""
    outputs: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Builder:
    """Adds layer after layer to a network. Behind one that is a problem, or unknown, shapes are unknown too.

    unknown  the layers that could not be added, by the names under which they are written
    """

    def __init__(self, arrays: Arrays, plan: ParameterPlan, seed: int, dtype: str, reading: Reading) -> None:
        self._reading = reading
        self._plan = plan
        self._network = Scope()
        self._own: dict[str, Any] = {}
        self._refused: set[str] = set()
        self.unknown: set[str] = set()
        self._possible = arrays.possible
        inputs = sorted(arrays.inputs, key=lambda name: name not in arrays.batched)
        self._assembly: Assembly | None = None
        if inputs and all(name in arrays.numbers for name in inputs):
            self._assembly = Assembly(arrays.numbers, tuple(inputs), arrays.batched, seed, dtype, self._own, plan.tied)

    def knows(self, name: str) -> bool:
        """Whether an array or an activation has a known shape."""
        return self._assembly is not None and name in self._assembly.arrays

    def counts(self, sources: tuple[Source, ...]) -> bool:
        """Whether it is known how many arrays these are: a layer that was not added may have several outputs."""
        known = self._network.outputs
        return all(s.output is not None or s.name in known or self.knows(s.name) for s in sources)

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters so far, by name."""
        return {} if self._assembly is None else {n: self._assembly.arrays[n].shape for n in self._assembly.parameters}

    @property
    def trained(self) -> list[str]:
        """The names of the parameters so far that are not frozen."""
        frozen = self._plan.freeze.matching(self.parameters)
        return [name for name in self.parameters if name not in frozen]

    def expand(self, sources: tuple[Source, ...], user: str, scope: Scope | None = None) -> list[str] | None:
        """The names of arrays and activations that sources stand for; None where one of them does not exist."""
        scope = scope or self._network
        names: list[str] = []
        for source in sources:
            outputs = scope.outputs.get(source.name)
            if outputs is None:
                name = f"{scope.prefix}{source.name}"
                names.append(name if source.output is None else f"{name}.{source.output}")
            elif source.output is None:
                names += outputs
            elif len(outputs) > 1 and source.output < len(outputs):
                names.append(outputs[source.output])
            else:
                count = "one output" if len(outputs) == 1 else f"{len(outputs)} outputs, numbered from 0"
                hint = f"write `{source.name}`" if len(outputs) == 1 else "choose one of them"
                message = f"`{user}` takes `{source.name}.{source.output}`, but `{source.name}` has {count}; {hint}"
                self._reading.problems.add(source.place, message)
                return None
        return names

    def add(self, item: Item, scope: Scope | None = None) -> None:
        """Add a layer, or all layers of a module, as far as that is possible."""
        scope = scope or self._network
        names = None
        if item.unit is not None and item.sources is not None:
            names = self.expand(item.sources, f"{scope.prefix}{item.name}", scope)
        if names is not None and not all(map(self.knows, names)):
            names = None
        if item.module is not None:
            self._use(item, item.module, names, scope)
        elif names is None or not self._add(item, names, scope):
            self.unknown.add(f"{scope.written}{item.name}")

    def _use(self, item: Item, module: Module, names: list[str] | None, scope: Scope) -> None:
        """Add the layers of a module for one use of it."""
        inner = Scope(f"{scope.prefix}{item.name}.", f"{module.name}.")
        if names is not None and len(names) != len(module.inputs):
            takes = counted(len(module.inputs), "input")
            message = f"`{scope.prefix}{item.name}` takes {takes} ({', '.join(module.inputs)}), got {len(names)}"
            hint = "say with `inputs` which it takes, or what the module takes with `inputs` of its own"
            self._reading.problems.add(item.place, f"{message}: {', '.join(names)}; {hint}")
        elif names is not None:
            inner.outputs.update({name: (array,) for name, array in zip(module.inputs, names, strict=True)})
        for each in module.graph.items:
            self.add(each, inner)
        outputs = None if module.outputs is None else self.expand(module.outputs, module.name, inner)
        if outputs is not None and all(map(self.knows, outputs)):
            scope.outputs[item.name] = tuple(outputs)

    def _add(self, item: Item, names: list[str], scope: Scope) -> bool:
        """Add a layer; False where it could not be added. What a module has wrong is said of its first use alone."""
        name, written = f"{scope.prefix}{item.name}", f"{scope.written}{item.name}"
        assert item.unit is not None
        if item.unit.instance is None or written in self._refused:
            return False
        assert self._assembly is not None
        try:
            with np.errstate(all="ignore"):
                if not self._prepare(item, name, written, names):
                    self._refused.add(written)
                    return False
                node = self._assembly.add(name, item.unit.instance, tuple(names), item.unit.trusted, written)
        except ShapeError as error:
            self._reading.problems.add(item.place, str(error))
        except MemoryError as error:
            self._reading.problems.add(item.place, f"{name} ({item.unit.type}) needs too much memory: {error}")
        except LayerFailure as failure:
            self._reading.fail(failure)
        else:
            scope.outputs[item.name] = node.outputs
            return True
        self._refused.add(written)
        return False

    def add_term(self, term: Term, place: Place) -> None:
        """Add a term of the loss, whose predictions and data are all known."""
        assert self._assembly is not None
        try:
            with np.errstate(all="ignore"):
                self._assembly.add_term(term, self._possible)
        except ShapeError as error:
            self._reading.problems.add(place, str(error))
        except LayerFailure as failure:
            self._reading.fail(failure)

    def network(self) -> tuple[Network, Point]:
        """The finished network; only where nothing was a problem."""
        assert self._assembly is not None
        network, point = self._assembly.network()
        return network, point.freeze(self._plan.freeze.matching(point.parameters))

    def _prepare(self, item: Item, name: str, written: str, names: list[str]) -> bool:
        """Whether the layer takes as many inputs as it gets, and the user's weights fit it."""
        assert self._assembly is not None
        assert item.unit is not None
        shapes = [self._assembly.arrays[taken].shape for taken in names]
        try:
            drawn = drawn_by(item.unit.instance, shapes, name, item.unit.trusted)
        except ShapeError:
            return True  # the assembly says it again, with the layers and shapes that it is about
        expected = None if drawn is None else inputs_of(item.unit.instance, drawn.names)
        if drawn is None or expected is None or len(names) not in expected:
            takes = f"takes {said(expected)}, got" if expected is not None else "cannot take"
            message = f"`{name}` {takes} {len(names)}: {', '.join(names)}"
            self._reading.problems.add(item.place, f"{message}; say with `inputs` which it takes")
            return False
        known = self.parameters
        for local, shape in drawn.parameters.items():
            if f"{written}.{local}" not in known and not self._settle(f"{written}.{local}", shape, known):
                known[f"{written}.{local}"] = shape
        return True

    def _settle(self, name: str, shape: tuple[int, ...], known: dict[str, tuple[int, ...]]) -> bool:
        """Where a parameter comes from: another that it is tied to (true), the user's weights; or it is drawn."""
        plan = self._plan
        tied = plan.tied.get(name) or plan.ties.take(name, shape, known)
        if tied is not None:
            plan.tied[name] = tied
            if plan.weights is not None:
                plan.weights.require_equal(name, *tied)
        elif plan.weights is not None:
            own = plan.weights.take(name, shape)
            if own is not None:
                self._own[name] = own
        return tied is not None
