"""A layer or a loss as a spec writes it: a name, or a single key with options; found in the catalogue and built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct, field

from gradcheck.catalogue import Catalogue
from gradcheck.errors import LayerFailure, ShapeError
from gradcheck.spec._grammar import NAME
from gradcheck.spec._options import Option, Owner, convert, convert_each, options_of, read_keys
from gradcheck.spec._problems import Place, Problems, did_you_mean, quoted, show, typo_of
from gradcheck.spec._yaml import Node

_NOUNS = {"layers": "layer", "losses": "loss"}
_LARGEST_OPTION = 100_000


class Reading(Struct):
    """What every part of the reader shares.

    runs      whether user code may be called: true to run a spec, false to validate it
    notes     what is worth knowing and no problem
    failure   the first failure of user code
    """

    path: str
    catalogue: Catalogue
    runs: bool
    problems: Problems
    notes: list[str] = field(default_factory=list)
    failure: LayerFailure | None = None

    def fail(self, failure: LayerFailure) -> None:
        """Remember that user code failed; the first failure is the one that is reported."""
        self.failure = self.failure or failure

    def note(self, place: Place, message: str) -> None:
        """Note something that is no problem."""
        self.notes.append(f"{self.path}:{place.line}:{place.column}: {message}")


class Unit(Struct):
    """A layer or a loss of a spec.

    reserved   the options that every layer or loss has, where they are given and right
    nodes      where these options are written
    kind       the class; None where it is unknown
    instance   the layer or loss itself; None where that is a problem, or user code that may not run
    """

    type: str
    place: Place
    reserved: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    kind: Any = None
    instance: Any = None
    trusted: bool = True

    @property
    def of_parameters(self) -> bool:
        """Whether it is a loss of parameters."""
        return getattr(self.kind, "of_parameters", False)


def read_unit(node: Node, folder: str, shared: type, reading: Reading) -> Unit | None:
    """One item of `layers` or `losses`, with the options of `shared` beside its own; None where it is malformed."""
    problems = reading.problems
    written = _written(node, _NOUNS[folder], problems)
    if written is None:
        return None
    unit, options = written
    unit.kind = _find(unit, folder, reading)
    unit.trusted = unit.kind is None or reading.catalogue.is_builtin(unit.kind)
    common = options_of(shared)
    own = {} if unit.kind is None else options_of(unit.kind)
    before = len(problems)
    nodes = _own_and_shared(unit, options, own, common, problems)
    unit.nodes = {name: value for name, value in nodes.items() if name in common}
    unit.reserved = convert_each(unit.nodes, common, problems)
    values = convert({name: value for name, value in nodes.items() if name not in common}, own, problems)
    if unit.kind is None or values is None or len(problems) > before:
        return unit
    if unit.trusted and not _within_limits(nodes, problems):
        return unit
    if unit.trusted or reading.runs:
        unit.instance = _build(unit, values, reading)
    return unit


def _written(node: Node, noun: str, problems: Problems) -> tuple[Unit, Node] | None:
    """The unit without its options, and the node of its options."""
    form = f"a {noun} is written as its name, or as its name and a mapping of options"
    if isinstance(node.value, str):
        return _named(node.value, node.place, Node(node.place, {}), noun, problems)
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node.place, f"{form}; got {show(node.plain())}")
        return None
    name, *others = node.value
    if others:
        message = f"{form}; got the keys {quoted(node.value)}"
        hint = f"indent the options below `{name}`, or write `{name}: {{...}}`"
        problems.add(node.keys[others[0]], f"{message}: {hint}")
        return None
    options = node.value[name]
    if options.value is None:
        options = Node(node.keys[name], {})
    if not isinstance(options.value, dict):
        message = f"the options of `{name}` must be a mapping of names to values, got {show(options.plain())}"
        problems.add(options.place, message)
        return None
    return _named(name, node.keys[name], options, noun, problems)


def _named(name: str, place: Place, options: Node, noun: str, problems: Problems) -> tuple[Unit, Node] | None:
    if not re.fullmatch(NAME, name):
        problems.add(place, f"{show(name)} is no name of a {noun}: names have letters, digits, `_` and `-`")
        return None
    return Unit(name, place), options


def _find(unit: Unit, folder: str, reading: Reading) -> Any:
    kind = reading.catalogue.find(folder, unit.type)
    if kind is not None:
        return kind
    noun, names = _NOUNS[folder], reading.catalogue.names(folder)
    typo = typo_of(unit.type, names)
    if not reading.runs and not typo:
        reading.note(unit.place, f"`{unit.type}` is not a built-in {noun}; it may come from a plugin")
        return None
    hint = did_you_mean(unit.type, names)
    plugin = "" if typo else (" If" if hint else "; if") + " a plugin defines it, give the plugin with --plugin"
    reading.problems.add(unit.place, f"unknown {noun} `{unit.type}`{hint}{plugin}")
    return None


def _own_and_shared(
    unit: Unit, node: Node, own: Mapping[str, Option], common: Mapping[str, Option], problems: Problems
) -> dict[str, Node]:
    if unit.kind is None:
        return {name: value for name, value in node.value.items() if name in common}
    return read_keys(node, own, Owner(f"`{unit.type}`", also=tuple(common)), problems, unit.place)


def _within_limits(nodes: Mapping[str, Node], problems: Problems) -> bool:
    """No network that is checked entry by entry has a hundred thousand of anything; without a limit, memory is one."""
    before = len(problems)
    for name, node in nodes.items():
        leaves = node.value if isinstance(node.value, list) else [node]
        for leaf in leaves:
            if isinstance(leaf.value, int) and abs(leaf.value) > _LARGEST_OPTION:
                problems.add(leaf.place, f"`{name}` is {show(leaf.value)}; at most {_LARGEST_OPTION:,} is possible")
    return len(problems) == before


def _build(unit: Unit, values: Mapping[str, Any], reading: Reading) -> Any:
    try:
        with np.errstate(all="ignore"):
            return unit.kind(**values)
    except (ShapeError, ValueError) as error:
        reading.problems.add(unit.place, f"the options of `{unit.type}` do not go together: {error}")
    except Exception as error:
        if unit.trusted:
            raise
        message = f"{unit.type}: building it raised {type(error).__name__}: {error}"
        reading.fail(LayerFailure("GC901", unit.type, "init", message))
    return None
