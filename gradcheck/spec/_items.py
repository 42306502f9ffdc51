"""Lists of layers, as in `network` and in every module: their names, and what each of them takes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from gradcheck.spec._data import Arrays, check_name
from gradcheck.spec._grammar import MODULE, ItemOptions, UseOptions
from gradcheck.spec._options import Owner, convert_each, options_of, read_keys
from gradcheck.spec._problems import Place, Problems, did_you_mean, quoted, show
from gradcheck.spec._units import Reading, Unit, read_unit
from gradcheck.spec._yaml import Node

_OUTPUT = re.compile(r"(.+)\.(\d+)")


class Source(Struct, frozen=True):
    """Where an input comes from: an array or a layer by name, all of its outputs or the one of that number."""

    name: str
    place: Place
    output: int | None = None


class Module(Struct):
    """A sub-network by name.

    inputs   what its inputs are called inside
    graph    its layers; a graph without items where they are a problem
    outputs  what a use of it gives; None where one of them is a problem
    used     whether any network uses it
    """

    name: str
    place: Place
    inputs: tuple[str, ...] = ()
    graph: Graph = None  # type: ignore[assignment]  # read after all names are known
    outputs: tuple[Source, ...] | None = None
    used: bool = False


class Item(Struct):
    """A layer in its place, or a use of a module, whose unit has the module's name for a type.

    `unit` is None where it is malformed, `sources` where one of them is a problem.
    """

    name: str
    place: Place
    unit: Unit | None = None
    sources: tuple[Source, ...] | None = None
    module: Module | None = None


class Graph(Struct):
    """Data, layers, and what uses what.

    arrays   what the layers can take beside each other: the data, or the inputs of the module
    sound    whether everything that is written could be resolved; only then is something that nobody uses a problem
    module   the module's name; empty for the network
    modules  where the modules of the spec are written: in the network no layer has the name of one
    used     names of what anything takes so far
    """

    arrays: Arrays
    items: list[Item]
    problems: Problems
    sound: bool = True
    module: str = ""
    modules: Mapping[str, Place] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

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

    def layers(self, prefix: str = "", written: str = "") -> Iterator[tuple[str, str, Item]]:
        """Every layer in its place, modules gone through -> its full name, its name where it is written, the item."""
        for item in self.items:
            if item.module is None:
                yield prefix + item.name, written + item.name, item
            else:
                yield from item.module.graph.layers(f"{prefix}{item.name}.", f"{item.module.name}.")

    def require_all_used(self) -> None:
        """A layer or an input that nobody uses is a mistake; no verdict is passed where something is unresolved."""
        if not self.sound:
            return
        where = f"a layer, or in `outputs` of `{self.module}`" if self.module else "a layer or loss"
        for item in self.items:
            if item.name not in self.used:
                message = f"nothing uses the output of `{item.name}`; name it in `inputs` of {where}"
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
            hint, what = did_you_mean(name, known), "data"
            use = next((item for item in self.items if item.module and name.startswith(f"{item.name}.")), None)
            if use is not None and use.module is not None:
                hint = f"; what a use gives is its last layer, or what `{use.module.name}` names in `outputs`"
            elif self.module:
                what = f"input in the module `{self.module}`"
                hint = hint or f"; a module sees its own inputs alone: {quoted(self.arrays.inputs)}"
            self.problems.add(place, f"`{user}` takes `{name}`, but there is no such layer or {what}{hint}")
        return None


def read_network(
    node: Node | None, arrays: Arrays, modules: Mapping[str, Module], reading: Reading, module: str = ""
) -> Graph:
    """The layers of the network, or of a module, in order, with what each of them takes."""
    problems = reading.problems
    what = f"the module `{module}`" if module else "the network"
    items: list[Item] = []
    if node is not None and not isinstance(node.value, list):
        subject = what if module else "`network`"
        problems.add(node.place, f"{subject} must be a list of layers, each after a `-`, got {show(node.plain())}")
    elif node is not None and not node.value:
        problems.add(node.place, f"{what} is empty: list at least one layer")
    elif node is not None:
        items = [_item(child, modules, reading) for child in node.value]
    sound = bool(items) and all(item.unit is not None and (item.module or not _is_use(item)) for item in items)
    places = {} if module else {name: known.place for name, known in modules.items()}
    graph = Graph(arrays, items, problems, sound, module, places)
    _name(graph)
    for position, item in enumerate(items):
        _connect(graph, position, item)
    return graph


def _item(node: Node, modules: Mapping[str, Module], reading: Reading) -> Item:
    """A layer, or a use of a module."""
    key = node.value if isinstance(node.value, str) else [*node.value] if isinstance(node.value, dict) else None
    if key not in (MODULE, [MODULE]):
        return Item("", node.place, read_unit(node, "layers", ItemOptions, reading))
    problems = reading.problems
    place, options = (node.place, None) if key == MODULE else (node.keys[MODULE], node.value[MODULE])
    if options is None or options.value is None:
        options = Node(place, {})
    if not isinstance(options.value, dict):
        found = show(options.plain())
        hint = f"write `module: {{module: {options.value}}}`" if isinstance(options.value, str) else "name the module"
        problems.add(
            options.place, f"the options of `module` must be a mapping of names to values, got {found}; {hint}"
        )
        return Item("", node.place)
    known = {**options_of(UseOptions), **options_of(ItemOptions)}
    nodes = read_keys(options, known, Owner("`module`"), problems, place)
    values = convert_each(nodes, known, problems)
    name = values.pop(MODULE, None)
    if name is None:
        return Item("", node.place)
    if name not in modules:
        hint = did_you_mean(name, modules) or (f"; there are {quoted(modules)}" if modules else "")
        problems.add(nodes[MODULE].place, f"there is no module `{name}`{hint or '; the spec has no `modules`'}")
    else:
        modules[name].used = True
    return Item("", place, Unit(name, place, values, nodes), module=modules.get(name))


def _is_use(item: Item) -> bool:
    """Whether an item uses a module, be it one that does not exist."""
    return item.unit is not None and MODULE in item.unit.nodes


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
    data = "input of the module" if graph.module else "data"
    owner = data if name in graph.arrays.places else "module" if name in graph.modules else "layer"
    first = graph.arrays.places.get(name) or graph.modules.get(name) or taken.get(name)
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
