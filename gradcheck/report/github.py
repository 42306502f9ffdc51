"""Annotations of GitHub Actions: one line each, shown at the line of the layer's `backward`, or of the spec.

A step shows ten errors, ten warnings and ten notices, and drops the rest without a word: so the worst come first, and
the tenth says how many more there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from gradcheck.findings import Report
from gradcheck.report import _conclusions as conclusions
from gradcheck.report import _words as words
from gradcheck.report._issues import Issue, issues

#: How many of one kind a step shows.
MOST = 10
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def write(report: Report, stream: TextIO) -> None:
    """Write the annotations, and a last line with the counts, which is none."""
    found = issues(report)
    for severity in words.SEVERITIES:
        stream.writelines(f"{line}\n" for line in _lines([i for i in found if i.severity == severity], severity))
    stream.write(conclusions.total(report) + "\n")


def _lines(found: list[Issue], severity: str) -> Iterator[str]:
    shown = found if len(found) <= MOST else found[: MOST - 1]
    for issue in shown:
        place = issue.place
        properties = {
            "file": place.path, "line": place.line, "endLine": place.end_line, "col": place.column,
            "endColumn": place.end_column, "title": f"gradcheck {issue.title}",
        }  # fmt: skip
        yield _command(severity, properties, "\n".join(issue.text))
    if len(found) > len(shown):
        more = words.plural(len(found) - len(shown), f"more {severity}")
        yield _command(severity, {"title": "gradcheck"}, f"{more}, which a step does not show; see the log or a report")


def _command(severity: str, properties: dict[str, object], message: str) -> str:
    written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{_COMMANDS[severity]} {written}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
