"""Everything that is inside of something, by its place there: what must be the same after a call as before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: Containers within containers.
_DEEPEST = 8
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)


def contents(thing: Any, place: str) -> dict[str, Any]:
    """Copies of all arrays and numbers in tuples, lists, dictionaries and attributes, by place: `cache[1]['mask']`."""
    return dict(_walk(thing, place, ()))


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The places where something is no longer the same bit for bit, has gone, or is new."""
    return [place for place in {**before, **after} if not _same(before.get(place, _GONE), after.get(place, _GONE))]


class _Gone:
    """Stands for what is not there."""


_GONE = _Gone()


def _walk(thing: Any, place: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, np.ndarray) and thing.dtype.kind != "O":
        yield place, thing.copy()
    elif isinstance(thing, _PLAIN):
        yield place, thing
    elif id(thing) not in above and len(above) < _DEEPEST:
        for step, part in _parts(thing):
            yield from _walk(part, place + step, (*above, id(thing)))


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a container holds, and the step that leads there; nothing where it cannot be looked into."""
    if isinstance(thing, (tuple, list)):
        yield from ((f"[{k}]", part) for k, part in enumerate(thing))
    elif isinstance(thing, np.ndarray):
        yield from ((f"[{k}]", part) for k, part in enumerate(thing.reshape(-1).tolist()))
    elif isinstance(thing, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in thing.items())
    elif not isinstance(thing, (type, ModuleType)) and not callable(thing):
        yield from ((f".{name}", part) for name, part in getattr(thing, "__dict__", {}).items())


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and one.tobytes() == other.tobytes()
    return type(one) is type(other) and (one is other or repr(one) == repr(other))
