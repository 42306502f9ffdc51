"""The section `modules`: sub-networks by name, each a list of layers, used once or several times.

A module is written as `network` is, or with inputs and outputs of its own: `{inputs: [a, b], network: [...]}`. It sees
its inputs and nothing else, and may use other modules, but not itself. All uses of it have the same parameters.
"""

from __future__ import annotations

from gradcheck.spec._data import Arrays, check_name
from gradcheck.spec._grammar import INPUT, LARGEST_NETWORK, ModuleOptions
from gradcheck.spec._items import Graph, Item, Module, Source, read_network
from gradcheck.spec._options import Owner, convert_each, options_of, read_keys
from gradcheck.spec._problems import Place, Problems, show
from gradcheck.spec._units import Reading
from gradcheck.spec._yaml import Node

Modules = dict[str, Module]
_DEEPEST = 50


def read_modules(node: Node | None, arrays: Arrays, reading: Reading) -> Modules:
    """Every module by its name; what is wrong with one leaves the others standing."""
    problems = reading.problems
    if node is None:
        return {}
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node.place, f"`modules` must be a mapping of names to lists of layers, got {show(node.plain())}")
        return {}
    modules = {name: Module(name, node.keys[name]) for name in node.value if _is_free(name, node, arrays, problems)}
    for name, module in modules.items():
        _read(module, node.value[name], modules, reading)
    depths: dict[str, int] = {}
    for module in modules.values():
        _depth(module, (), depths, problems)
    return modules


def require_limits(graph: Graph, modules: Modules, problems: Problems) -> bool:
    """Whether the network, with every module in its places, is one that can be checked."""
    sizes: dict[str, int] = {}
    size = _size(graph, sizes)
    if size <= LARGEST_NETWORK or not sizes:
        return True
    greatest = modules[max(sizes, key=lambda name: sizes[name])]
    message = f"the network has {size:,} layers with `{greatest.name}` and the others in all their places"
    problems.add(greatest.place, f"{message}; at most {LARGEST_NETWORK:,} are possible")
    return False


def require_all_used(graph: Graph, modules: Modules, problems: Problems) -> None:
    """A module, or anything in one, that nobody uses is a mistake."""
    for module in modules.values():
        module.graph.require_all_used()
    if not all(each.sound for each in (graph, *(module.graph for module in modules.values()))):
        return
    for module in modules.values():
        if not module.used:
            use = f"use it with `- module: {{module: {module.name}}}`"
            problems.add(module.place, f"nothing uses the module `{module.name}`; {use}, or remove it")


def _is_free(name: str, node: Node, arrays: Arrays, problems: Problems) -> bool:
    place = node.keys[name]
    if name in arrays.places:
        message = f"the name `{name}` is taken by the data on line {arrays.places[name].line}; choose another"
        problems.add(place, message)
        return False
    return check_name(name, place, problems)


def _read(module: Module, node: Node, modules: Modules, reading: Reading) -> None:
    """The inputs, the layers and the outputs of one module."""
    problems = reading.problems
    options = options_of(ModuleOptions)
    nodes, values = {"network": node}, {}
    if isinstance(node.value, dict):
        owner = Owner(f"the module `{module.name}`", "key")
        nodes = read_keys(node, options, owner, problems, module.place)
        values = convert_each({name: nodes[name] for name in ("inputs", "outputs") if name in nodes}, options, problems)
    written = values.get("inputs", (INPUT,))
    module.inputs = (written,) if isinstance(written, str) else tuple(written)
    before = len(problems)
    places = _places(module, nodes.get("inputs"), problems)
    complete = len(problems) == before and ("inputs" in values or "inputs" not in nodes)
    inside = Arrays(tuple(places), places=places, complete=complete)
    module.graph = read_network(nodes.get("network"), inside, modules, reading, module.name)
    if "outputs" in values:
        module.outputs = module.graph.resolve(values["outputs"], nodes["outputs"], "outputs")
    elif "outputs" not in nodes and module.graph.items:
        last = module.graph.items[-1]
        module.outputs = (Source(last.name, last.place),)
        module.graph.use(module.outputs)


def _places(module: Module, node: Node | None, problems: Problems) -> dict[str, Place]:
    """Where each input is written."""
    nodes = [] if node is None else node.value if isinstance(node.value, list) else [node]
    places: dict[str, Place] = {}
    for position, name in enumerate(module.inputs):
        place = nodes[position].place if position < len(nodes) else module.place
        if name in places:
            problems.add(place, f"the module `{module.name}` has two inputs called `{name}`; give one another name")
        elif check_name(name, place, problems):
            places[name] = place
    return places


def _depth(module: Module, path: tuple[str, ...], known: dict[str, int], problems: Problems) -> int:
    """How deep modules lie within each other there. A use that has no end, or lies too deep, is cut off."""
    if module.name in known:
        return known[module.name]
    path = (*path, module.name)
    depths = [0]
    for item in module.graph.items:
        if item.module is None:
            continue
        message = ""
        if item.module.name in path:
            way = " → ".join((*path[path.index(item.module.name) :], item.module.name))
            message = f"the module `{item.module.name}` uses itself ({way}), so its network would have no end"
        elif len(path) == _DEEPEST or _depth(item.module, path, known, problems) == _DEEPEST:
            message = f"`{item.module.name}` lies more than {_DEEPEST} modules deep; write its layers where it is used"
        if message:
            problems.add(_place_of(item), message)
            item.module = None
            module.graph.sound = False
        else:
            depths.append(known[item.module.name])
    known[module.name] = 1 + max(depths)
    return known[module.name]


def _place_of(item: Item) -> Place:
    assert item.unit is not None
    return item.unit.nodes["module"].place


def _size(graph: Graph, known: dict[str, int]) -> int:
    """How many layers a graph has, those of modules counted wherever they are used."""
    count = 0
    for item in graph.items:
        if item.module is not None and item.module.name not in known:
            known[item.module.name] = _size(item.module.graph, known)
        count += known[item.module.name] if item.module is not None else 1
    return count
