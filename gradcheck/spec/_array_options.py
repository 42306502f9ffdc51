"""The options of one array: which source they name, what goes with it, and the numbers that it gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.spec._arrays import ArrayProblem, Recipe
from gradcheck.spec._files import FileProblem, load_array
from gradcheck.spec._fills import ALWAYS, FILLS, SOURCES
from gradcheck.spec._grammar import ArrayOptions
from gradcheck.spec._numbers import numbers
from gradcheck.spec._options import Owner, convert, options_of, read_keys
from gradcheck.spec._problems import Problems, counted
from gradcheck.spec._yaml import Node

Array = NDArray[Any]


def read_array(name: str, role: str, node: Node, spec_path: str, problems: Problems) -> Recipe | None:
    """What a spec says of one array; None where that is a problem."""
    options = options_of(ArrayOptions)
    before = len(problems)
    nodes = read_keys(node, options, Owner(f"the array `{name}`"), problems)
    converted = convert({key: value for key, value in nodes.items() if key != "values"}, options, problems)
    if converted is None or len(problems) > before:
        return None
    written = _Written(name, role, node, nodes, ArrayOptions(**converted), problems)
    source = written.source()
    if source is None or not written.fits_together(source):
        return None
    given = written.given(source, spec_path)
    if given is None and source in ("values", "file"):
        return None
    place = nodes[source].place if source in nodes else node.place
    return Recipe(name, role, written.options, source, given, place)


class _Written(Struct, frozen=True):
    """An array as it is written: options that are right one by one."""

    name: str
    role: str
    node: Node
    nodes: Mapping[str, Node]
    options: ArrayOptions
    problems: Problems

    def source(self) -> str | None:
        """What the array comes from; None, and a problem, where nothing or too much says so."""
        given = [source for source in ("classes", "values", "file") if source in self.nodes]
        if len(given) > 1:
            message = f"the array `{self.name}` has both `{given[0]}` and `{given[1]}`; give one"
            self.problems.add(self.nodes[given[1]].place, message)
            return None
        if given:
            return given[0]
        if "shape" in self.nodes or ("fill" in self.nodes and self.role == "sample_weight"):
            return "shape"
        needed = "`shape`" if "fill" in self.nodes else "`shape` (to draw it), `classes`, `values` or `file`"
        self.problems.add(self.node.place, f"the array `{self.name}` needs {needed}")
        return None

    def fits_together(self, source: str) -> bool:
        """Whether every option goes with the source, and those of a range make one."""
        before, o = len(self.problems), self.options
        for key in self.nodes:
            if key not in (*SOURCES[source], *ALWAYS):
                self._refuse_key(key, source)
            elif source == "shape" and key in ("scale", "low", "high") and key not in FILLS[o.fill].options:
                self._refuse_key(key, f"fill: {o.fill}")
        if o.layout == "batch_last" and not o.per_sample:
            message = f"the array `{self.name}` has no batch axis (`per_sample: false`) to be last"
            self.problems.add(self.node.keys["layout"], message)
        if source == "shape" and len(self.problems) == before:
            self._check_fill()
        return len(self.problems) == before

    def given(self, source: str, spec_path: str) -> Array | None:
        """The numbers of `values` or a file; None, and a problem, where they are no array. None for other sources."""
        try:
            if source == "values":
                array = numbers(self.name, self.nodes["values"], self.problems)
            elif source == "file":
                array = load_array(spec_path, self.options.file, self.options.key if "key" in self.nodes else None)
            else:
                return None
            return None if array is None else self._shaped(array)
        except FileProblem as problem:
            self.problems.add(self.nodes[problem.option].place, str(problem))
        except ArrayProblem as problem:
            self.problems.add(self.nodes[source].place, str(problem))
        return None

    def _refuse_key(self, key: str, what: str) -> None:
        self.problems.add(self.node.keys[key], f"`{key}` does not go with `{what}` in the array `{self.name}`")

    def _check_fill(self) -> None:
        o = self.options
        if o.fill == "probabilities" and not o.shape:
            message = f"the array `{self.name}` needs an axis in `shape` along which probabilities add up"
            self.problems.add(self.nodes["fill"].place, message)
        if o.fill == "integers" and not self._are_integers():
            return
        if "low" in FILLS[o.fill].options and not o.low < o.high:
            end = self.nodes.get("high", self.nodes.get("low", self.node))
            message = f"got low {o.low:g} and high {o.high:g}"
            self.problems.add(end.place, f"`high` must be greater than `low` in the array `{self.name}`, {message}")

    def _are_integers(self) -> bool:
        if "high" not in self.nodes:
            message = f"the array `{self.name}` needs `high`: integers are drawn from low to high - 1"
            self.problems.add(self.node.place, message)
            return False
        for key, value in (("low", self.options.low), ("high", self.options.high)):
            if value != int(value) or abs(value) >= 2**62:
                message = f"`{key}` of the integers in `{self.name}` must be an integer, got {value:g}"
                self.problems.add(self.nodes[key].place, message)
                return False
        return True

    def _shaped(self, array: Array) -> Array:
        """Samples first; a single column is one number a sample; each sample in the shape that was asked for."""
        o = self.options
        if o.per_sample and not array.ndim:
            message = "is a single number; expected a list with a number for each sample"
            raise ArrayProblem(f"the array `{self.name}` {message}")
        if o.layout == "batch_last":
            array = np.moveaxis(array, -1, 0)
        if o.file.endswith(".csv") and array.shape[1] == 1:
            array = array[:, 0]
        if not array.size:
            raise ArrayProblem(f"the array `{self.name}` is empty: its shape is {array.shape}")
        if "shape" not in self.nodes:
            return array
        lead = array.shape[:1] if o.per_sample else ()
        if math.prod((*lead, *o.shape)) != array.size:
            count = counted(array.size // math.prod(lead), "number") + (" for each sample" if lead else "")
            raise ArrayProblem(f"the array `{self.name}` has {count}, which cannot have the shape {o.shape}")
        return array.reshape(*lead, *o.shape)
