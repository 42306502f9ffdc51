"""Type hints of options: converting a value, saying in words what is expected, and the JSON Schema of it.

Numbers, strings and literals are left to msgspec. Unions, lists and tuples are taken apart here, because msgspec 0.22
crashes the process on a union of a constrained number and a tuple of fixed length ("an integer ≥ 1 or a pair of them",
which every convolution has), and because each part is then described on its own.
"""

from __future__ import annotations

import collections.abc
import math
import types
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

_LARGEST_INTEGER = 2**63 - 1
_PLAIN = {int: ("an integer", "integers"), float: ("a number", "numbers"), str: ("a string", "strings"),
          bool: ("true or false", "values true or false")}  # fmt: skip
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


class Mismatch(Exception):  # noqa: N818 - the hint does not fit; what to say about it is the caller's
    """A value that does not fit its hint."""


class Hint(ABC):
    """What an option may be."""

    @abstractmethod
    def convert(self, value: Any) -> Any:
        """The value as the hint's type; Mismatch where it does not fit."""

    @abstractmethod
    def words(self) -> tuple[str, str]:
        """One and several of them in words: ("an integer ≥ 1", "integers ≥ 1")."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schema, draft 7."""


@dataclass(frozen=True)
class Anything(Hint):
    """A hint that says nothing that can be checked in a spec."""

    def convert(self, value: Any) -> Any:
        """The value as it is."""
        return value

    def words(self) -> tuple[str, str]:
        """Anything."""
        return "anything", "values of any kind"

    def schema(self) -> dict[str, Any]:
        """No constraint."""
        return {}


@dataclass(frozen=True)
class Scalar(Hint):
    """A number, a string, a truth value, null or one of several literals, perhaps within bounds."""

    hint: Any

    def convert(self, value: Any) -> Any:
        """What msgspec makes of it; numbers must be finite and integers fit 64 bits."""
        if isinstance(value, list | dict):
            raise Mismatch
        try:
            converted = msgspec.convert(value, self.hint, strict=True)
        except (msgspec.ValidationError, OverflowError):
            raise Mismatch from None
        if isinstance(converted, float) and not math.isfinite(converted):
            raise Mismatch
        if isinstance(converted, int) and abs(converted) > _LARGEST_INTEGER:
            raise Mismatch
        return converted

    def words(self) -> tuple[str, str]:
        """The type, then its bounds."""
        base, metas = _unwrapped(self.hint)
        if base is None or base is type(None):
            return "null", "nulls"
        if get_origin(base) is Literal:
            choices = [f"`{choice}`" for choice in get_args(base)]
            one_of = ", ".join(choices[:-1]) + " or " + choices[-1] if len(choices) > 1 else choices[0]
            return one_of, f"values {one_of}"
        one, several = _PLAIN[base]
        bounds = _bounds(metas)
        return one + bounds, several + bounds

    def schema(self) -> dict[str, Any]:
        """What msgspec says of it."""
        (schema,), _ = msgspec.json.schema_components((self.hint,))
        return schema


@dataclass(frozen=True)
class Several(Hint):
    """A list of values of one kind. `container` is what the option's type makes of it."""

    item: Hint
    container: Any = tuple
    shortest: int = 0
    longest: int | None = None

    def convert(self, value: Any) -> Any:
        """Every item converted."""
        if not isinstance(value, list) or not self.shortest <= len(value) <= (self.longest or len(value)):
            raise Mismatch
        return self.container(self.item.convert(item) for item in value)

    def words(self) -> tuple[str, str]:
        """How many of what."""
        return f"{self.count()} {self.item.words()[1]}", f"lists of {self.item.words()[1]}"

    def count(self) -> str:
        """A list of; a pair of; a list of 3; a non-empty list of."""
        if self.shortest == self.longest:
            return "a pair of" if self.longest == 2 else f"a list of {self.longest}"
        if self.shortest > 1:
            return f"a list of at least {self.shortest}"
        return "a non-empty list of" if self.shortest else "a list of"

    def schema(self) -> dict[str, Any]:
        """An array."""
        schema: dict[str, Any] = {"type": "array", "items": self.item.schema()}
        if self.shortest:
            schema["minItems"] = self.shortest
        if self.longest is not None:
            schema["maxItems"] = self.longest
        return schema


@dataclass(frozen=True)
class Record(Hint):
    """A list of fixed length, each place with a kind of its own."""

    items: tuple[Hint, ...]

    def convert(self, value: Any) -> Any:
        """Every place converted by its own hint."""
        if not isinstance(value, list) or len(value) != len(self.items):
            raise Mismatch
        return tuple(hint.convert(item) for hint, item in zip(self.items, value, strict=True))

    def words(self) -> tuple[str, str]:
        """What stands at each place."""
        inner = ", ".join(item.words()[0] for item in self.items)
        return f"a list [{inner}]", f"lists [{inner}]"

    def schema(self) -> dict[str, Any]:
        """An array with a schema for each place."""
        n = len(self.items)
        return {"type": "array", "items": [item.schema() for item in self.items], "minItems": n, "maxItems": n}


@dataclass(frozen=True)
class Choice(Hint):
    """One of several kinds."""

    members: tuple[Hint, ...]

    def convert(self, value: Any) -> Any:
        """The first kind that fits."""
        for member in self.members:
            try:
                return member.convert(value)
            except Mismatch:
                continue
        raise Mismatch

    def words(self) -> tuple[str, str]:
        """All kinds but null, which is the same as to leave the option out."""
        named = [member for member in self.members if member.words()[0] != "null"]
        one: list[str] = []
        for k, member in enumerate(named):
            repeats = isinstance(member, Several) and member.item in named[:k]
            one.append(f"{member.count().removesuffix(' of')} of them" if repeats else member.words()[0])  # type: ignore[attr-defined]
        if "a number" in one and "an integer" in one:
            one.remove("an integer")
        return " or ".join(one), " or ".join(member.words()[1] for member in named)

    def schema(self) -> dict[str, Any]:
        """Any of them."""
        return {"anyOf": [member.schema() for member in self.members]}


def parse(hint: Any) -> Hint:
    """A type hint, taken apart. One that says nothing that a spec could be checked for accepts anything."""
    base, metas = _unwrapped(hint)
    origin = get_origin(base)
    if origin in (Union, types.UnionType):
        return _choice(get_args(base))
    if base in _LISTS or base is tuple or origin in _LISTS or origin is tuple:
        return _list(base, metas)
    if origin is Literal or base in _PLAIN or base is None or base is type(None):
        return Scalar(hint)
    return Anything()


def _choice(hints: tuple[Any, ...]) -> Hint:
    members: list[Hint] = []
    for hint in hints:
        member = parse(hint)
        if isinstance(member, Anything):
            return member
        members += member.members if isinstance(member, Choice) else [member]
    return Choice(tuple(members))


def _list(base: Any, metas: list[msgspec.Meta]) -> Hint:
    arguments = get_args(base)
    is_tuple = (get_origin(base) or base) is tuple
    shortest = max((meta.min_length or 0 for meta in metas), default=0)
    longest = min((meta.max_length for meta in metas if meta.max_length is not None), default=None)
    if is_tuple and arguments and arguments[-1] is not Ellipsis:
        items = tuple(map(parse, arguments))
        return Several(items[0], tuple, len(items), len(items)) if len(set(items)) == 1 else Record(items)
    item = parse(arguments[0]) if arguments else Anything()
    return Several(item, tuple if is_tuple else list, shortest, longest)


def _unwrapped(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    metas: list[msgspec.Meta] = []
    while get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        metas += [extra for extra in extras if isinstance(extra, msgspec.Meta)]
    return hint, metas


def _bounds(metas: list[msgspec.Meta]) -> str:
    signs = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
    said = [f"{sign} {value}" for meta in metas for name, sign in signs if (value := getattr(meta, name)) is not None]
    return " " + " and ".join(said) if said else ""
