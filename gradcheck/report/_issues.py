"""What a run has to say, as a flat list: what formats for machines that annotate sources have in common."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from gradcheck.findings import Finding, Location, Report, Row, Source, SpecReport, fingerprint
from gradcheck.report import _words as words
from gradcheck.report._tellings import is_undecided, paragraphs

REFUSED, INCONCLUSIVE = "refused", "inconclusive"
STDIN = "-"


class Issue(Struct, frozen=True):
    """Something to act on, or to know.

    severity     error, warning or note
    code, name   of a finding; `refused` for a spec that was not run, `inconclusive` for a row about which too little is
                 known
    about        a parameter, an entry of it, or a layer; empty where it is the whole spec
    text         what is wrong, in paragraphs
    place        where to show it: the `backward` of the user's layer, else the line of the spec
    in_spec      the line of the spec
    fingerprint  the same from run to run
    excused      who says that it does not count, and why; empty where it does
    """

    severity: str
    code: str
    name: str
    about: str
    text: tuple[str, ...]
    place: Source
    in_spec: Source
    fingerprint: str
    excused: str = ""
    finding: Finding | None = None

    @property
    def sentence(self) -> str:
        """The first paragraph, and before it what it is about, unless it says so itself."""
        said = " ".join(self.text[0].split())
        layer = self.finding.layer if self.finding else ""
        if not self.about or said.startswith(self.about) or (layer and said.startswith(layer)):
            return said
        return f"{self.about}: {said}"

    @property
    def title(self) -> str:
        """`GC102 sign-flipped: head.weight[3, 5]`."""
        head = self.code if self.code == self.name else f"{self.code} {self.name}"
        return f"{head}: {self.about}" if self.about else head


def issues(report: Report, excused: bool = False) -> list[Issue]:
    """All of them, errors before warnings before notes; findings that do not count only if `excused`."""
    found = [issue for spec in report.specs for issue in _of_spec(spec, excused)]
    if report.folder:
        found = [
            replace(i, place=_within(report.folder, i.place), in_spec=_within(report.folder, i.in_spec)) for i in found
        ]
    return sorted(found, key=lambda issue: words.SEVERITIES.index(issue.severity))


def path_of(path: str) -> str:
    """A path as machines want it: with slashes, and without what leads nowhere."""
    return "stdin" if path == STDIN else posixpath.normpath(path.replace("\\", "/"))


def _within(folder: str, place: Source) -> Source:
    """The place as seen from the root of the repository; a whole path stays."""
    return replace(place, path=path_of(posixpath.join(folder, place.path)))


def _of_spec(spec: SpecReport, excused: bool) -> Iterator[Issue]:
    for error in spec.errors:
        place = _in_spec(spec, Location(error.path, error.line, error.column))
        key = fingerprint(path_of(spec.path), REFUSED, error.message)
        yield Issue("error", REFUSED, REFUSED, "", (error.message,), place, place, key)
    for finding in words.roots(spec):
        yield _of_finding(spec, finding, paragraphs(spec, finding))
    for row in words.undecided(spec):
        yield _of_row(spec, row)
    dropped = {each.finding.id for each in spec.silenced}
    for each in spec.silenced if excused else ():
        if each.finding.consequence_of not in dropped:
            text = paragraphs(spec, each.finding)
            yield _of_finding(spec, each.finding, text, f"{each.by}: {each.reason}")


def _of_finding(spec: SpecReport, finding: Finding, text: list[str], excused: str = "") -> Issue:
    in_spec = _in_spec(spec, finding.location)
    return Issue(
        finding.severity, finding.code, finding.name, words.subject(finding), tuple(text),
        finding.source or in_spec, in_spec, finding.fingerprint(path_of(spec.path)), excused, finding,
    )  # fmt: skip


def _of_row(spec: SpecReport, row: Row) -> Issue:
    nothing_known = is_undecided(row)
    place = _in_spec(spec, None)
    why = f": {row.reason}" if row.reason else ""
    return Issue(
        "error" if nothing_known else "warning", INCONCLUSIVE, INCONCLUSIVE, row.name,
        (f"{words.undecided_share(row)} of {row.name} could not be decided{why}",), place, place,
        fingerprint(path_of(spec.path), INCONCLUSIVE, row.name),
    )  # fmt: skip


def _in_spec(spec: SpecReport, at: Location | None) -> Source:
    at = at or Location(spec.path, 1, 1)
    return Source(path_of(at.path), at.line, at.column, at.line, at.column + 1)
