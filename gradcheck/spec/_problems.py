"""Problems of one spec, collected: each a whole sentence at a place."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from gradcheck.errors import Problem

_LONGEST_VALUE = 60


class Place(NamedTuple):
    """Line and column in a spec, from 1."""

    line: int
    column: int


class Problems:
    """Every problem of one spec, in the order of their places."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._found: dict[Problem, None] = {}

    def add(self, place: Place, message: str) -> None:
        """Note a problem; the same one twice is one. Characters that a terminal would obey are written out."""
        safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        self._found[Problem(self.path, place.line, place.column, safe)] = None

    def __len__(self) -> int:
        return len(self._found)

    def sorted(self) -> list[Problem]:
        """All problems, top to bottom."""
        return sorted(self._found, key=lambda problem: (problem.line, problem.column))


def show(value: Any) -> str:
    """A value as a spec would write it, on one line and not too long."""
    text = _written(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if value != value else (".inf" if value > 0 else "-.inf")
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_VALUE:
        return "an integer of very many digits"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in _first(value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_written(item) for item in _first(value)) + "]"
    return repr(value[: 2 * _LONGEST_VALUE] if isinstance(value, str) else value)


def _first(values: Iterable[Any]) -> list[Any]:
    return [value for value, _ in zip(values, range(_LONGEST_VALUE), strict=False)]


def counted(count: int, noun: str) -> str:
    """1 row; 2 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def quoted(names: Iterable[str]) -> str:
    """`a`, `b`, `c`."""
    return ", ".join(f"`{name}`" for name in names)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean `x`?" where a known name is like this one, else nothing."""
    similar = similar_to(name, known)
    return f"; did you mean `{similar}`?" if similar else ""


def meant(name: str, known: Iterable[str], unknown: set[str]) -> str:
    """Of parameters and of whole layers, what was probably meant; else what there is."""
    names = [*known]
    layers = dict.fromkeys(f"{known_name.rpartition('.')[0]}.*" for known_name in names) if "*" in name else ()
    hint = did_you_mean(name, [*names, *layers])
    if hint or unknown:
        return hint
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"; there are {quoted(names[:6])}{more}" if names else "; the network has none"


def similar_to(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was probably meant to be."""
    names = list(known)
    return typo_of(name, names) or next(iter(difflib.get_close_matches(name, names, n=1)), None)


def typo_of(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one is a slip of: capitals and underscores aside, one edit for each four letters.

    `conv2` and `Conv2d` are slips of `conv2d`; `my_relu` is no slip of `relu`, but a name of its own.
    """
    folded = _folded(name)
    distances = {other: _edits(folded, _folded(other)) for other in known}
    within = {other: edits for other, edits in distances.items() if edits <= len(_folded(other)) // 4}
    return min(within, key=lambda other: (within[other], other), default=None)


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")[:_LONGEST_VALUE]


def _edits(a: str, b: str) -> int:
    """Damerau-Levenshtein distance: insertions, deletions, substitutions, swaps of neighbours."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, above, row = row, before, [i]
        for j, y in enumerate(b, start=1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                edits = min(edits, above[j - 2] + 1)
            row.append(edits)
    return row[-1]
