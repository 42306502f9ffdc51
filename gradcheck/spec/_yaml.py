"""YAML text -> a tree of values, each with its place.

The tree is built from ruamel's events instead of by its constructors: one pass keeps the place of every key and every
value, applies the limits while it reads, and a spec stays plain data. Scalars are those of YAML 1.2 (`1e-6` is a
number, `no` is text, `017` is seventeen). Tags, merge keys and second documents are refused.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct, field
from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from gradcheck.spec._problems import Place, Problems, show
from gradcheck.spec._yaml_errors import explain

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 100_000

_START = Place(1, 1)
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]{1,4000}|0x[0-9a-fA-F]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"(?P<sign>[-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class Node(Struct):
    """One value and where it stands.

    value   None, bool, int, float, str, a list of nodes, or a dict of nodes
    keys    of a mapping: where each key stands
    size    how many values there are in it, itself included, aliases written out
    """

    place: Place
    value: Any
    keys: dict[str, Place] = field(default_factory=dict)
    size: int = 1

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return self.value


def compose(text: str, problems: Problems) -> Node | None:
    """The tree of a spec's text; None where there is none. What is wrong with the YAML is added to the problems."""
    if len(text) > MAX_CHARACTERS:
        problems.add(
            _START,
            f"the spec has {len(text):,} characters, more than {MAX_CHARACTERS:,}; "
            "put large arrays into a .npz or .csv file beside it",
        )
        return None
    tree = _Tree(problems)
    found = len(problems)
    try:
        for event in YAML(typ="safe", pure=True).parse(text.removeprefix("\ufeff")):
            if not tree.take(event):
                return None
    except Exception as error:  # the parser lets ValueError and others through for malformed input
        problems.add(*explain(error, text, tree.place))
        return None
    if tree.root is None and len(problems) == found:
        problems.add(_START, "the spec is empty; it needs `data`, `network` and `loss`")
    return tree.root


class _Open(Struct):
    """A list or mapping that is still being read; of a mapping, `key` is the key whose value comes next."""

    node: Node
    anchor: str | None
    key: Node | None = None


class _Tree:
    """Takes events one by one and hangs each value in its place."""

    def __init__(self, problems: Problems) -> None:
        self.root: Node | None = None
        self.place = _START
        self._problems = problems
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._total = 0

    def take(self, event: Any) -> bool:
        """Take one event; False where it is of no use to read on."""
        self.place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, DocumentStartEvent) and self.root is not None:
            message = "a second YAML document starts here; a spec is one document, so give it a file of its own"
            self._problems.add(self.place, message)
            return False
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor)
        if isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent) and event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!", 1)
            self._problems.add(self.place, f"the tag {show(tag)} is not allowed: a spec is plain data; remove it")
        if isinstance(event, ScalarEvent):
            node = Node(self._where(event), _scalar(event.value) if event.implicit[0] else event.value)
            self._remember(event.anchor, node)
            return self._hang(node)
        if isinstance(event, SequenceStartEvent | MappingStartEvent):
            return self._start(event.anchor, Node(self.place, [] if isinstance(event, SequenceStartEvent) else {}))
        if isinstance(event, SequenceEndEvent | MappingEndEvent):
            done = self._open.pop()
            self._remember(done.anchor, done.node)
            return self._hang(done.node)
        return True

    def _where(self, event: ScalarEvent) -> Place:
        """Where a scalar stands; of one that is left out, where its key stands."""
        key = self._open[-1].key if self._open else None
        return key.place if key is not None and not event.value and event.implicit[0] else self.place

    def _start(self, anchor: str | None, node: Node) -> bool:
        if len(self._open) >= MAX_DEPTH:
            self._problems.add(self.place, f"the spec is nested more than {MAX_DEPTH} levels deep")
            return False
        self._remember(anchor, None)
        self._open.append(_Open(node, anchor))
        return True

    def _remember(self, anchor: str | None, node: Node | None) -> None:
        if anchor is not None:
            self._anchors[str(anchor)] = node

    def _alias(self, anchor: str) -> bool:
        anchor = str(anchor)
        if anchor not in self._anchors:
            self._problems.add(self.place, f"the alias `*{anchor}` stands for nothing: no `&{anchor}` comes before it")
            return False
        original = self._anchors[anchor]
        if original is None:
            self._problems.add(self.place, f"the alias `*{anchor}` stands for a value that contains it")
            return False
        return self._hang(Node(self.place, original.value, original.keys, original.size), original.size)

    def _hang(self, node: Node, values: int = 1) -> bool:
        self._total += values
        if self._total > MAX_VALUES:
            message = f"the spec holds more than {MAX_VALUES:,} values, aliases written out"
            self._problems.add(self.place, f"{message}; put large arrays into a .npz or .csv file beside it")
            return False
        if not self._open:
            self.root = node
            return True
        parent = self._open[-1]
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            self._enter(parent.node, parent.key, node)
            parent.key = None
        parent.node.size += node.size
        return True

    def _enter(self, mapping: Node, key: Node, value: Node) -> None:
        name = key.value
        if not isinstance(name, str):
            found = "a list" if isinstance(name, list) else "a mapping" if isinstance(name, dict) else show(name)
            self._problems.add(key.place, f"a key must be a name, got {found}")
        elif name == "<<":
            message = "merge keys (`<<`) are not part of YAML 1.2 and not allowed here; write the keys out"
            self._problems.add(key.place, message)
        elif name in mapping.value:
            first = mapping.keys[name]
            self._problems.add(key.place, f"the key `{name}` is given twice; the first is on line {first.line}")
        else:
            mapping.value[name] = value
            mapping.keys[name] = key.place


def _scalar(text: str) -> Any:
    """The value of an unquoted scalar in YAML 1.2's core schema."""
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text[0] in "tT"
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float((special["sign"] or "") + text.lstrip("+-").removeprefix("."))
    return text
