"""Arrays from files beside the spec: .npz without pickles, and .csv.

A file is named relative to the spec's folder and must lie in it, links resolved. What a file holds is believed only as
far as its header fits the limits.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from gradcheck.spec._grammar import LARGEST_ARRAY
from gradcheck.spec._problems import counted, quoted, show

Array = NDArray[Any]
_LARGEST_CSV = 100_000_000


class FileProblem(Exception):  # noqa: N818 - the caller adds the place and makes a Problem of it
    """A file that cannot be used; the message is a whole sentence, `option` the one that it is about."""

    def __init__(self, message: str, option: str = "file") -> None:
        super().__init__(message)
        self.option = option


def locate(spec_path: str, file: str) -> Path:
    """The path of a file that a spec names."""
    folder = (Path.cwd() if spec_path == "-" else Path(spec_path).parent).resolve()
    try:
        path = (folder / file).resolve()
        exists = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise FileProblem(f"{show(file)} cannot be the name of a file: {error}") from None
    if not path.is_relative_to(folder):
        raise FileProblem(f"{show(file)} lies outside the folder of the spec; put it beside the spec or below")
    if not exists:
        raise FileProblem(f"{show(file)} {'is no file' if path.exists() else 'does not exist beside the spec'}")
    return path


def load_array(spec_path: str, file: str, key: str | None) -> Array:
    """One array from a .npz or .csv file."""
    path = locate(spec_path, file)
    if path.suffix == ".csv":
        if key is not None:
            raise FileProblem(f"`key` does not go with {show(file)}: a .csv holds one array; leave `key` out", "key")
        return _load_csv(path, file)
    if path.suffix != ".npz":
        raise FileProblem(f"{show(file)} must be a .npz or a .csv file")
    return load_npz(path, file, key)


def load_npz(path: Path, file: str, key: str | None) -> Array:
    """The array of that name, or the only one."""
    with _opened(path, file) as archive:
        names = _members(archive)
        if not names:
            raise FileProblem(f"{show(file)} holds no arrays")
        if key is None and len(names) > 1:
            raise FileProblem(f"{show(file)} holds {_several(names)}; say which with `key`")
        if key is not None and key not in names:
            raise FileProblem(f"{show(file)} has no array `{key}`; it holds {_several(names)}", "key")
        name = key if key is not None else next(iter(names))
        return _read_member(archive, names[name], name, file)


def load_all(path: Path, file: str) -> dict[str, Array]:
    """Every array of a .npz file, by name."""
    if path.suffix != ".npz":
        raise FileProblem(f"{show(file)} must be a .npz file")
    with _opened(path, file) as archive:
        return {name: _read_member(archive, member, name, file) for name, member in _members(archive).items()}


def _opened(path: Path, file: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise FileProblem(f"{show(file)} cannot be read as .npz: {error}") from None


def _members(archive: zipfile.ZipFile) -> dict[str, str]:
    return {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}


def _several(names: Mapping[str, str]) -> str:
    return f"the array{'s' if len(names) > 1 else ''} {quoted(sorted(names))}"


def _read_member(archive: zipfile.ZipFile, member: str, name: str, file: str) -> Array:
    try:
        with archive.open(member) as stream:
            shape, dtype = _header(stream)
            if dtype.kind not in "fiub":
                raise FileProblem(f"the array `{name}` of {show(file)} holds {dtype}; expected real numbers")
            if math.prod(shape) > LARGEST_ARRAY:
                raise FileProblem(f"the array `{name}` of {show(file)} has {math.prod(shape):,} entries; {_AT_MOST}")
        with archive.open(member) as stream:
            array: Array = npy.read_array(stream, allow_pickle=False)
            return array
    except FileProblem:
        raise
    except Exception as error:  # a damaged archive fails in zipfile, zlib or NumPy, each with errors of its own
        raise FileProblem(f"the array `{name}` of {show(file)} cannot be read: {error}") from None


_AT_MOST = f"at most {LARGEST_ARRAY:,} are read"


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format is not supported")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _load_csv(path: Path, file: str) -> Array:
    """Numbers between commas, one row a line; a first line without a number is a line of names."""
    if path.stat().st_size > _LARGEST_CSV:
        raise FileProblem(f"{show(file)} is larger than {_LARGEST_CSV // 10**6} MB; convert it to .npz")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblem(f"{show(file)} cannot be read as text: {error}") from None
    rows = [(k, line.split(",")) for k, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if rows and all(_number(cell) is None for cell in rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise FileProblem(f"{show(file)} holds no numbers")
    return _table(rows, file)


def _table(rows: list[tuple[int, list[str]]], file: str) -> Array:
    first, width = rows[0][0], len(rows[0][1])
    numbers: list[list[int | float]] = []
    for line, cells in rows:
        if len(cells) != width:
            raise FileProblem(
                f"line {line} of {show(file)} has {counted(len(cells), 'cell')}, line {first} has {width}"
            )
        values = [_number(cell) for cell in cells]
        if None in values:
            column = values.index(None)
            found = show(cells[column].strip())
            raise FileProblem(f"line {line} of {show(file)}, column {column + 1}, is not a number: {found}")
        numbers.append(values)  # type: ignore[arg-type]
    whole = all(isinstance(value, int) for row in numbers for value in row)
    return np.array(numbers, dtype=np.int64 if whole else np.float64)


def _number(cell: str) -> int | float | None:
    """An integer, a real number, or None. Integers beyond 64 bits are real numbers."""
    text = cell.strip()
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    digits = text.lstrip("+-")
    return int(text) if digits.isdecimal() and len(digits) < 19 else value
