"""The section `network`: layers with their names, and what each of them takes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gradcheck.spec._data import Arrays, check_name
from gradcheck.spec._grammar import ItemOptions
from gradcheck.spec._problems import Place, Problems, did_you_mean, show
from gradcheck.spec._units import Reading, Unit, read_unit
from gradcheck.spec._yaml import Node

_OUTPUT = re.compile(r"(.+)\.(\d+)")


@dataclass(frozen=True)
class Source:
    """Where an input comes from: an array or a layer by name, all of its outputs or the one of that number."""

    name: str
    place: Place
    output: int | None = None


@dataclass
class Item:
    """A layer in its place. `unit` is None where it is malformed, `sources` where one of them is a problem."""

    name: str
    place: Place
    unit: Unit | None = None
    sources: tuple[Source, ...] | None = None


@dataclass
class Graph:
    """Data, layers, and what uses what.

    sound   whether everything that is written could be resolved; only then is something that nobody uses a problem
    """

    arrays: Arrays
    items: list[Item]
    problems: Problems
    sound: bool = True

    def __post_init__(self) -> None:
        self.used: set[str] = set()

    def resolve(self, written: Any, node: Node, user: str, before: int | None = None) -> tuple[Source, ...] | None:
        """The sources that `inputs` names, for the layer at position `before` or for a loss."""
        nodes = node.value if isinstance(node.value, list) else [node]
        names = [written] if isinstance(written, str) else list(written)
        found = [self._source(name, item.place, user, before) for name, item in zip(names, nodes, strict=True)]
        sources = tuple(source for source in found if source is not None)
        self.use(sources)
        if len(sources) == len(found):
            return sources
        self.sound = False
        return None

    def use(self, sources: tuple[Source, ...]) -> None:
        """Remember that these are used."""
        self.used |= {source.name for source in sources}

    def default(self, position: int) -> tuple[Source, ...] | None:
        """What a layer takes by default: the item before it; for the first, all inputs of the spec."""
        if position:
            before = self.items[position - 1]
            sources: tuple[Source, ...] = (Source(before.name, before.place),)
        else:
            sources = tuple(Source(name, self.arrays.places[name]) for name in self.arrays.inputs)
            if not self.arrays.complete:
                self.sound = False
                return None
        self.use(sources)
        return sources

    def require_all_used(self) -> None:
        """A layer or an input that nobody uses is a mistake; no verdict is passed where something is unresolved."""
        if not self.sound:
            return
        for item in self.items:
            if item.name not in self.used:
                message = f"nothing uses the output of `{item.name}`; name it in `inputs` of a layer or loss"
                self.problems.add(item.place, f"{message}, or remove it")
        for name in self.arrays.inputs:
            if name not in self.used:
                message = f"nothing uses the input `{name}`; name it in `inputs` of a layer, or remove it"
                self.problems.add(self.arrays.places[name], message)

    def _source(self, name: str, place: Place, user: str, before: int | None) -> Source | None:
        positions = {item.name: k for k, item in enumerate(self.items)}
        numbered = _OUTPUT.fullmatch(name)
        base, output = (numbered[1], int(numbered[2])) if numbered else (name, None)
        if base in self.arrays.places and output is None:
            return Source(base, place)
        position = positions.get(base)
        if position is not None and (before is None or position < before):
            return Source(base, place, output)
        if position is not None:
            what = "itself" if position == before else f"`{base}`, which comes later"
            self.problems.add(place, f"`{user}` takes {what}; a layer can only take what comes before it")
        elif self.arrays.complete and all(item.unit is not None for item in self.items):
            known = [*self.arrays.places, *(item.name for item in self.items[:before])]
            hint = did_you_mean(name, known)
            self.problems.add(place, f"`{user}` takes `{name}`, but there is no such layer or data{hint}")
        return None


def read_network(node: Node | None, arrays: Arrays, reading: Reading) -> Graph:
    """The layers of a spec, in order, with what each of them takes."""
    problems = reading.problems
    if node is None:
        return Graph(arrays, [], problems, sound=False)
    if not isinstance(node.value, list):
        problems.add(node.place, f"`network` must be a list of layers, each after a `-`, got {show(node.plain())}")
        return Graph(arrays, [], problems, sound=False)
    if not node.value:
        problems.add(node.place, "the network is empty: list at least one layer")
        return Graph(arrays, [], problems, sound=False)
    items = [Item("", child.place, read_unit(child, "layers", ItemOptions, reading)) for child in node.value]
    graph = Graph(arrays, items, problems, sound=all(item.unit is not None for item in items))
    _name(graph)
    for position, item in enumerate(items):
        _connect(graph, position, item)
    return graph


def _name(graph: Graph) -> None:
    """Give every layer its name: its own, or its type and a count of those of that type without one."""
    counts: Counter[str] = Counter()
    taken: dict[str, Place] = {}
    for position, item in enumerate(graph.items):
        unit = item.unit
        if unit is None:
            item.name = f"#{position}"
            continue
        item.place = unit.place
        place = unit.place
        if "name" in unit.nodes:
            place = unit.nodes["name"].place
            item.name = unit.reserved.get("name", "")
            if "name" not in unit.reserved or not check_name(item.name, place, graph.problems):
                item.name = f"#{position}"
                graph.sound = False
                continue
        else:
            counts[unit.type] += 1
            item.name = f"{unit.type}_{counts[unit.type]}"
        _claim(item.name, place, taken, graph)


def _claim(name: str, place: Place, taken: dict[str, Place], graph: Graph) -> None:
    owner = "data" if name in graph.arrays.places else "layer"
    first = graph.arrays.places.get(name) or taken.get(name)
    if first is not None:
        graph.problems.add(place, f"the name `{name}` is taken by the {owner} on line {first.line}; choose another")
        graph.sound = False
    taken.setdefault(name, place)


def _connect(graph: Graph, position: int, item: Item) -> None:
    unit = item.unit
    if unit is None:
        return
    if "inputs" not in unit.nodes:
        item.sources = graph.default(position)
    elif "inputs" in unit.reserved:
        item.sources = graph.resolve(unit.reserved["inputs"], unit.nodes["inputs"], item.name, position)
    else:
        graph.sound = False
