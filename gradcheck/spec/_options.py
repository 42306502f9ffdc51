"""Options of a class, taken from its own fields: which there are, what each may be, and reading them from a spec."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct, field

from gradcheck.spec._hints import Anything, Hint, Mismatch, parse
from gradcheck.spec._problems import Place, Problems, did_you_mean, quoted, show, similar_to
from gradcheck.spec._yaml import Node


class Option(Struct, frozen=True):
    """One field of a class, as a spec may give it. `extra` is added to its JSON Schema."""

    name: str
    hint: Hint
    required: bool
    extra: Mapping[str, Any] = field(default_factory=dict)

    def schema(self) -> dict[str, Any]:
        """JSON Schema, draft 7."""
        return {**self.hint.schema(), **self.extra}


@cache
def options_of(kind: type) -> dict[str, Option]:
    """The options of a class by name, in the order of its fields; none for a class that is no dataclass."""
    if not dataclasses.is_dataclass(kind):
        return {}
    hints = _type_hints(kind)
    return {
        item.name: Option(item.name, parse(hints.get(item.name, Any)), _is_required(item), _extra(hints.get(item.name)))
        for item in dataclasses.fields(kind)
        if item.init
    }


def _type_hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # a plugin may name types that only exist while it is type-checked
        return {}


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _extra(hint: Any) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta):
            extra |= meta.extra_json_schema or {}
            extra |= {"description": meta.description} if meta.description else {}
    return extra


class Owner(Struct, frozen=True):
    """Who has the options, for the sentences about them: "`linear` has no option ..."; "a spec has no key ..."."""

    subject: str
    noun: str = "option"
    also: tuple[str, ...] = ()


def read_keys(
    node: Node, options: Mapping[str, Option], owner: Owner, problems: Problems, place: Place | None = None
) -> dict[str, Node]:
    """The nodes of the known keys of a mapping. What is no mapping, an unknown or a missing key is a problem.

    place   where a missing key is reported; by default where the mapping starts
    """
    if not isinstance(node.value, dict):
        problems.add(node.place, f"{owner.subject} must be a mapping of {owner.noun}s to values, got {_kind(node)}")
        return {}
    known = [*options, *owner.also]
    found, meant = {}, set()
    for name, value in node.value.items():
        if name in known:
            found[name] = value
        else:
            meant.add(similar_to(name, known))
            problems.add(node.keys[name], _unknown(name, known, owner))
    for name, option in options.items():
        if option.required and name not in found and name not in meant:
            expected = "" if isinstance(option.hint, Anything) else f", {option.hint.words()[0]}"
            problems.add(place or node.place, f"{owner.subject} needs the {owner.noun} `{name}`{expected}")
    return found


def convert_each(nodes: Mapping[str, Node], options: Mapping[str, Option], problems: Problems) -> dict[str, Any]:
    """The values of those given options that are right, whatever the others are."""
    values = {}
    for name, node in nodes.items():
        hint = options[name].hint
        try:
            values[name] = hint.convert(node.plain())
        except Mismatch:
            found = show(node.plain())
            finite = ", which is not finite" if found in (".inf", "-.inf", ".nan") else ""
            problems.add(node.place, f"`{name}` must be {hint.words()[0]}, got {found}{finite}")
    return values


def convert(nodes: Mapping[str, Node], options: Mapping[str, Option], problems: Problems) -> dict[str, Any] | None:
    """The values of the given options; None if one of them is a problem."""
    values = convert_each(nodes, options, problems)
    return values if len(values) == len(nodes) else None


def _unknown(name: str, known: list[str], owner: Owner) -> str:
    hint = did_you_mean(name, known)
    if not hint:
        several = f"; its {owner.noun}s are {quoted(known)}"
        hint = several if len(known) > 1 else f"; its {owner.noun} is {quoted(known)}" if known else "; it has none"
    return f"{owner.subject} has no {owner.noun} `{name}`{hint}"


def _kind(node: Node) -> str:
    return f"the list {show(node.plain())}" if isinstance(node.value, list) else show(node.plain())
