"""`--baseline FILE`: findings that were there before, so that only new ones make a gate red.

A finding is known by its spec (as seen from the file's folder), its layer, its parameter and its code; never by a line.
The file is read by every run and written only where that is asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, field

from gradcheck._cli_sources import STDIN
from gradcheck.errors import UsageError
from gradcheck.findings import CODES, SpecReport
from gradcheck.silencing import silence

_VERSION = 1
#: What says that a run was cut short, and nothing about a network: it is never known already.
_UNFINISHED = ("GC902", "GC903")


class Known(NamedTuple):
    """One entry of the file."""

    spec: str
    layer: str
    parameter: str
    code: str


class Baseline(Struct):
    """The file, and what a run has to say about it.

    path    where it lies
    known   its entries
    update  whether findings that are new become known
    found   what was found again, or for the first time
    stale   entries that a spec which was run no longer has
    """

    path: Path
    known: frozenset[Known]
    update: bool = False
    prune: bool = False
    found: set[Known] = field(default_factory=set)
    stale: set[Known] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path, update: bool = False, prune: bool = False) -> Baseline:
        """UsageError where there is no such file, unless it is to be made, or it is no baseline."""
        if not path.exists() and update:
            return cls(path, frozenset(), update, prune)
        return cls(path, frozenset(_entries(path)), update, prune)

    def apply(self, spec: SpecReport, keeps: Callable[[str], bool], whole: bool) -> SpecReport:
        """The report without the findings that are known, or become known now.

        keeps  whether findings with a code were looked for
        whole  whether all of the spec was looked at, so that an entry which is not found again is stale
        """
        here = self._seen_from_here(spec.path)
        present = {
            finding.id: Known(here, finding.layer, finding.parameter or "", finding.code)
            for finding in spec.findings
            if finding.severity != "note" and finding.consequence_of is None and finding.code not in _UNFINISHED
        }
        excused = {name: key for name, key in present.items() if self.update or key in self.known}
        self.found |= set(excused.values())
        cut_short = spec.verdict == "refused" or any(f.code in _UNFINISHED for f in spec.findings)
        if whole and not cut_short:
            self.stale |= {k for k in self.known - {*present.values()} if k.spec == here and keeps(k.code)}
        return silence(spec, "baseline", dict.fromkeys(excused, f"it is in {self.path}"))

    def finish(self) -> str:
        """Write the file where that is asked for -> what to say of it; empty where there is nothing to be said."""
        folder = self.path.parent
        self.stale |= {k for k in self.known if k.spec != STDIN and not (folder / k.spec).exists()}
        added, gone = self.found - self.known, self.stale if self.prune else set()
        if self.update or self.prune:
            self._write((self.known | added) - gone)
            kept = len(self.known - gone)
            return f"{self.path}: {_counted(len(added))} added, {len(gone):,} taken out, {kept:,} kept"
        if self.stale:
            stale = f"{_counted(len(self.stale))} in it {'is' if len(self.stale) == 1 else 'are'} no longer found"
            return f"{self.path}: {stale}; --baseline-prune takes out what is not"
        return ""

    def _seen_from_here(self, spec: str) -> str:
        return spec if spec == STDIN else os.path.relpath(spec, self.path.parent).replace(os.sep, "/")

    def _write(self, known: frozenset[Known]) -> None:
        entries = [{**each._asdict(), "name": CODES[each.code]} for each in sorted(known)]
        text = json.dumps({"version": _VERSION, "findings": entries}, indent=2, ensure_ascii=False) + "\n"
        try:
            self.path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}") from None


def _entries(path: Path) -> list[Known]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no baseline {path}; --baseline-update writes one") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is no baseline: {error}; --baseline-update writes one") from None
    version = document.get("version") if isinstance(document, dict) else None
    if version != _VERSION:
        raise UsageError(f"{path} is no baseline of version {_VERSION}: its version is {version!r}")
    entries = document.get("findings")
    if not isinstance(entries, list):
        raise UsageError(f"{path}: `findings` is {type(entries).__name__}; expected a list")
    return [_entry(path, number, entry) for number, entry in enumerate(entries)]


def _entry(path: Path, number: int, entry: Any) -> Known:
    values = [entry[name] for name in Known._fields if name in entry] if isinstance(entry, dict) else []
    words = [value for value in values if isinstance(value, str)]
    if len(words) < len(Known._fields) or words[-1] not in CODES:
        raise UsageError(f"{path}: findings[{number}] is {entry!r}; expected strings for {', '.join(Known._fields)}")
    return Known(*words)


def _counted(count: int) -> str:
    return f"{count:,} finding{'' if count == 1 else 's'}"
