"""How code of somebody else is called: arguments go by name, and what it raises becomes a finding."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from types import MethodType
from typing import Any

from gradcheck.errors import LayerFailure, ShapeError


def pair(result: Any, name: str) -> tuple[Any, Any]:
    """What forward returns, if it is a pair."""
    if isinstance(result, tuple) and len(result) == 2:
        return result
    kind = f"{len(result)} values" if isinstance(result, tuple) else f"one value ({type(result).__name__})"
    message = f"{name}: forward returned {kind}; expected a pair (output, cache): write `return y, cache`"
    raise LayerFailure("GC120", name, "forward", message)


class guarded:  # noqa: N801 - reads as a statement: with guarded(...)
    """Turn whatever user code raises into a LayerFailure; let refusals of shapes and Ctrl-C through."""

    def __init__(self, node: str, phase: str, trusted: bool) -> None:
        self.node, self.phase, self.trusted = node, phase, trusted

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None or self.trusted or isinstance(error, (KeyboardInterrupt, LayerFailure)):
            return
        if isinstance(error, ShapeError) and self.phase in ("check", "init"):
            return
        message = f"{self.node}: {self.phase} raised {type(error).__name__}: {error}"
        raise LayerFailure("GC901", self.node, self.phase, message) from error


@cache
def belongs_to(kind: type, method: str, name: str) -> bool:
    """Whether an attribute is defined at or below the class that defines a method: it was written for that method."""
    for base in kind.__mro__:
        if name in vars(base):
            return True
        if method in vars(base):
            return False
    return False


def positional_names(forward: Callable[..., Any]) -> list[str]:
    """The names of the arguments that a bound forward takes by position, in order."""
    function = getattr(forward, "__func__", None)
    return list(_positional(arguments(forward)) if function is None else _positional_behind_self(function))


def _positional(taken: Mapping[str, inspect.Parameter]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, argument in taken.items() if argument.kind in kinds]


@cache
def _positional_behind_self(function: Callable[..., Any]) -> list[str]:
    return _positional(_behind_self(function))


def arguments(method: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments of a bound method, by name."""
    function = getattr(method, "__func__", None)
    return inspect.signature(method).parameters if function is None else _behind_self(function)


@cache
def _behind_self(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(MethodType(function, object())).parameters
