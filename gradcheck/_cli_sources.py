"""The SPEC arguments of the command line -> the specs that they mean, and their text."""

from __future__ import annotations

import difflib
import glob
import sys
from collections.abc import Iterable
from pathlib import Path

from gradcheck.errors import NothingSelected, Problem, SpecError, UsageError

STDIN = "-"
_SUFFIXES = (".yaml", ".yml")
#: No spec is longer: it has at most a million characters.
_MAX_BYTES = 4_000_000


def specs_of(arguments: Iterable[str]) -> list[str]:
    """The paths of all specs, each once, in the order of the arguments; those of a folder or pattern sorted.

    NothingSelected where an argument means no spec at all: an empty gate must not pass.
    """
    return list(dict.fromkeys(path for argument in arguments for path in _meant_by(argument)))


def read(path: str) -> str:
    """The text of a spec. UsageError where it cannot be read, SpecError where it is no text."""
    try:
        data = sys.stdin.buffer.read() if path == STDIN else _bytes_of(Path(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        message = f"byte {data[error.start]:#04x} is not UTF-8; a spec is YAML text, saved as UTF-8"
        raise SpecError([Problem(path, line, column, message)]) from None


def _bytes_of(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        message = (
            f"the file has {size:,} bytes, too many for a spec; put large arrays into a .npz or .csv file beside it"
        )
        raise SpecError([Problem(str(path), 1, 1, message)])
    return path.read_bytes()


def _meant_by(argument: str) -> list[str]:
    path = Path(argument)
    if argument == STDIN:
        return [STDIN]
    if path.is_dir():
        found = [str(child) for child in path.iterdir() if _is_spec(child)]
        return _required(found, f"the folder {argument} holds no spec (*.yaml or *.yml directly in it)")
    if path.exists():
        return [argument]
    if glob.has_magic(argument):
        matches = glob.glob(argument, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        found = [match for match in matches if _is_spec(Path(match))]
        return _required(found, f"the pattern {argument} matches no spec (*.yaml or *.yml)")
    raise UsageError(f"there is no file or folder {argument}{_similar(path)}")


def _is_spec(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _required(found: list[str], otherwise: str) -> list[str]:
    if not found:
        raise NothingSelected(f"nothing was selected: {otherwise}")
    return sorted(found)


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    close = difflib.get_close_matches(path.name, [child.name for child in path.parent.iterdir()], n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""
