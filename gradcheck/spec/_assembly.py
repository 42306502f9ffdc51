"""Layers with their places -> a network whose shapes all fit, as far as they are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.assembly import Assembly
from gradcheck.errors import LayerFailure, ShapeError
from gradcheck.network import Network, Point, Term
from gradcheck.spec._arity import drawn_by, inputs_of, said
from gradcheck.spec._data import Arrays
from gradcheck.spec._items import Item, Source
from gradcheck.spec._problems import Place
from gradcheck.spec._units import Reading
from gradcheck.spec._weights import Weights


class Builder:
    """Adds layer after layer to a network. Behind one that is a problem, or unknown, shapes are unknown too."""

    def __init__(self, arrays: Arrays, weights: Weights | None, seed: int, dtype: str, reading: Reading) -> None:
        self._reading = reading
        self._weights = weights
        self._outputs: dict[str, tuple[str, ...]] = {}
        self._own: dict[str, Any] = {}
        self._possible = arrays.possible
        inputs = sorted(arrays.inputs, key=lambda name: name not in arrays.batched)
        self._assembly: Assembly | None = None
        if inputs and all(name in arrays.numbers for name in inputs):
            self._assembly = Assembly(arrays.numbers, tuple(inputs), arrays.batched, seed, dtype, self._own)

    def knows(self, name: str) -> bool:
        """Whether an array or an activation has a known shape."""
        return self._assembly is not None and name in self._assembly.arrays

    def counts(self, sources: tuple[Source, ...]) -> bool:
        """Whether it is known how many arrays these are: a layer that was not added may have several outputs."""
        return all(s.output is not None or s.name in self._outputs or self.knows(s.name) for s in sources)

    def expand(self, sources: tuple[Source, ...], user: str) -> list[str] | None:
        """The names of arrays and activations that sources stand for; None where one of them does not exist."""
        names: list[str] = []
        for source in sources:
            outputs = self._outputs.get(source.name)
            if outputs is None:
                names.append(source.name if source.output is None else f"{source.name}.{source.output}")
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

    def add(self, item: Item) -> bool:
        """Add a layer; False where it could not be added."""
        if item.unit is None or item.unit.instance is None or item.sources is None:
            return False
        names = self.expand(item.sources, item.name)
        if names is None or not all(map(self.knows, names)):
            return False
        assert self._assembly is not None
        try:
            with np.errstate(all="ignore"):
                if not self._prepare(item, names):
                    return False
                node = self._assembly.add(item.name, item.unit.instance, tuple(names), item.unit.trusted)
        except ShapeError as error:
            self._reading.problems.add(item.place, str(error))
        except MemoryError as error:
            self._reading.problems.add(item.place, f"{item.name} ({item.unit.type}) needs too much memory: {error}")
        except LayerFailure as failure:
            self._reading.fail(failure)
        else:
            self._outputs[item.name] = node.outputs
            return True
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
        return self._assembly.network()

    def _prepare(self, item: Item, names: list[str]) -> bool:
        """Whether the layer takes as many inputs as it gets, and the user's weights fit it."""
        assert self._assembly is not None
        assert item.unit is not None
        shapes = [self._assembly.arrays[name].shape for name in names]
        try:
            drawn = drawn_by(item.unit.instance, shapes, item.name, item.unit.trusted)
        except ShapeError:
            return True  # the assembly says it again, with the layers and shapes that it is about
        expected = None if drawn is None else inputs_of(item.unit.instance, drawn.names)
        if drawn is None or expected is None or len(names) not in expected:
            takes = f"takes {said(expected)}, got" if expected is not None else "cannot take"
            message = f"`{item.name}` {takes} {len(names)}: {', '.join(names)}"
            self._reading.problems.add(item.place, f"{message}; say with `inputs` which it takes")
            return False
        if self._weights is not None:
            for local, shape in drawn.parameters.items():
                own = self._weights.take(f"{item.name}.{local}", shape)
                if own is not None:
                    self._own[f"{item.name}.{local}"] = own
        return True
