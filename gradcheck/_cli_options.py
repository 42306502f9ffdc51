"""The kinds of values that options take. A wrong one is refused in a sentence, before anything heavy is imported."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import click

from gradcheck import report as _formats
from gradcheck.errors import UsageError
from gradcheck.silencing import code_prefix

_ENTRY = re.compile(r".+\[(\s*[0-9]+\s*,)*(\s*[0-9]+\s*)?\]", re.DOTALL)
#: As in a spec; named here because the module that reads specs takes its time to be imported.
MOST_DIRECTIONS = 10**4
#: `auto` and the schemes, named here because the module that holds them imports numpy.
METHODS = ("auto", "complex", "central", "five_point", "forward", "richardson")


def formats() -> dict[str, str]:
    """Name -> module of every report format. A file in gradcheck/report is one; a trailing `_` is not in its name."""
    stems = sorted(path.stem for path in Path(_formats.__path__[0]).glob("*.py") if not path.stem.startswith("_"))
    return {stem.rstrip("_"): f"{_formats.__name__}.{stem}" for stem in stems}


def number(what: str, zero: bool) -> Callable[[str], float]:
    """A reader of finite numbers that are positive, or (`zero`) not negative."""
    expected = "a finite number, 0 or greater" if zero else "a finite number greater than 0"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise click.BadParameter(f"{what} is {text!r}; expected {expected}, such as 1e-6.")
        return value

    return read


def seed(text: str) -> int:
    """A whole number from 0."""
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise click.BadParameter(f"the seed is {text!r}; expected a whole number from 0, such as 7.")
    return int(text)


def jobs(text: str) -> int:
    """How many workers: a whole number from 1, or `auto` for one a core."""
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not re.fullmatch(r"0*[1-9][0-9]{0,3}", text):
        raise click.BadParameter(f"the number of workers is {text!r}; expected a whole number from 1, or auto.")
    return int(text)


def directions(text: str) -> int | str:
    """How many directions: a whole number from 0, or `auto`."""
    if text == "auto":
        return text
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > MOST_DIRECTIONS:
        raise click.BadParameter(
            f"the number of directions is {text!r}; expected a whole number from 0 (every entry) to "
            f"{MOST_DIRECTIONS:,}, or auto."
        )
    return int(text)


def executor(text: str) -> str:
    """`dask://HOST:PORT`, as it is."""
    match = re.fullmatch(r"dask://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):([0-9]{1,5})", text)
    if match is None or not 0 < int(match[2]) < 2**16:
        raise click.BadParameter(f"{text!r} is no scheduler; write it like dask://localhost:8786.")
    return text


def codes(text: str) -> tuple[str, ...]:
    """Codes, beginnings of codes, or names, with commas between them -> codes and beginnings."""
    try:
        return tuple(code_prefix(word.strip()) for word in text.split(","))
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def entry(text: str) -> str:
    """`head.weight[3, 5]`, as it is; the spec says whether there is such an entry."""
    if not _ENTRY.fullmatch(text.strip()):
        raise click.BadParameter(f"{text!r} is no entry; write it like 'head.weight[3, 5]', counting from 0.")
    return text.strip()


def report_file(text: str) -> tuple[str, Path]:
    """`json=report.json` -> format and path."""
    fmt, _, path = text.partition("=")
    if not path or fmt not in formats():
        known = ", ".join(formats())
        raise click.BadParameter(f"{text!r} is not FMT=PATH, such as json=report.json; FMT is one of {known}.")
    return fmt, output_file(path)


def output_file(text: str) -> Path:
    """A path, refused now rather than after a long run: it must lie in a folder and not be one."""
    path = Path(text)
    if path.is_dir():
        raise click.BadParameter(f"{text} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise click.BadParameter(f"{text} cannot be written: there is no folder {path.parent}.")
    return path
