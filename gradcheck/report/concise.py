"""One line for each thing to act on: `path:line:column: severity CODE name: message`; then one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from gradcheck.findings import Report, SpecReport
from gradcheck.report import _conclusions as conclusions
from gradcheck.report import _words as words
from gradcheck.report._tellings import failures


def write(report: Report, stream: TextIO) -> None:
    """Write the lines of every spec, then the total."""
    for spec in failures(report) if report.only_failures else report.specs:
        stream.writelines(f"{' '.join(line.split())}\n" for line in _lines(spec))
    stream.write(conclusions.total(report) + "\n")


def _lines(spec: SpecReport) -> Iterator[str]:
    for error in spec.errors:
        yield f"{error.path}:{error.line}:{error.column}: refused: {error.message}"
    for finding in words.roots(spec):
        tainted = len(words.consequences(spec, finding))
        also = f" ({words.plural(tainted, 'gradient')} more wrong only because of it)" if tainted else ""
        about = "" if finding.message.startswith(finding.layer) else f"{words.subject(finding)}: "
        what = f"{finding.severity} {finding.code} {finding.name}: {about}{finding.message}"
        yield f"{words.place(spec, finding)}: {what}{also}"
    for row in words.undecided(spec):
        share = words.undecided_share(row)
        why = f": {row.reason}" if row.reason else ""
        yield f"{spec.path}: inconclusive {row.name}: {share} could not be decided{why}"
