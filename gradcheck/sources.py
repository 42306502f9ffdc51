"""Where the code of a layer or a loss is written."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from gradcheck.findings import Source

_PACKAGE = Path(__file__).resolve().parent


def source_of(unit: Any, method: str = "backward") -> Source | None:
    """The line on which a method of a layer or loss begins; None where that is not known.

    What was adapted says with `adapted` which functions of the user's it calls, by method. The path is relative to the
    current folder where the file lies in it.
    """
    adapted = getattr(unit, "adapted", {})
    function: Any = adapted.get(method) or getattr(type(unit), method, None)
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function) if function else None
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        return None
    lines = linecache.getlines(code.co_filename)
    first = code.co_firstlineno
    number = next((n for n, line in enumerate(lines[first - 1 :], first) if re.match(r"\s*def\s", line)), first)
    text = "".join(lines[number - 1 : number]).rstrip()
    if not text:
        return None
    indent = len(text) - len(text.lstrip())
    return Source(_shown(code.co_filename), number, indent + 1, number, len(text) + 1)


def raised_in(error: BaseException | None) -> Source | None:
    """The line of the user's code from which an error came: that of the method which gradcheck has called."""
    for frame, number in traceback.walk_tb(error.__traceback__ if error else None):
        path = Path(frame.f_code.co_filename)
        if path.is_file() and not path.resolve().is_relative_to(_PACKAGE):
            text = linecache.getline(str(path), number).rstrip()
            return Source(_shown(str(path)), number, len(text) - len(text.lstrip()) + 1, number, len(text) + 1)
    return None


def _shown(path: str) -> str:
    full = Path(path).resolve()
    try:
        return full.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return full.as_posix()
