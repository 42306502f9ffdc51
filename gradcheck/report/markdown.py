"""Markdown, for the summary of a CI step: the verdicts, then what did not pass, worst first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

from gradcheck.findings import Finding, Report, Row, SpecReport
from gradcheck.report import _conclusions as conclusions
from gradcheck.report import _words as words
from gradcheck.report._tellings import failures, paragraphs

#: More findings of one spec than this are only counted: a summary is cut off at a megabyte.
MOST = 10
_MARKS = {"pass": "✅", "kink": "✅", "not_applicable": "➖", "inconclusive": "⚠️", "fail": "❌", "refused": "❌"}


def write(report: Report, stream: TextIO) -> None:
    """Write the summary."""
    stream.writelines(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"## gradcheck: {_verdict(report.verdict)}"
    yield ""
    shown = failures(report) if report.only_failures else report.specs
    if shown:
        yield from _table(("verdict", "spec", "result"), [_spec_row(spec) for spec in shown])
    for spec in failures(report):
        yield from _spec(spec)
    yield conclusions.total(report)


def _spec_row(spec: SpecReport) -> tuple[str, str, str]:
    said = conclusions.brief(spec) if spec.verdict in ("pass", "kink") else conclusions.conclusion(spec)
    return _verdict(spec.verdict), _code(spec.path), _escaped(said)


def _spec(spec: SpecReport) -> Iterator[str]:
    yield f"### {_code(spec.path)}"
    yield ""
    for error in spec.errors:
        yield f"- {_code(f'{error.path}:{error.line}:{error.column}')} {_escaped(error.message)}"
    if spec.errors:
        yield ""
        return
    roots = words.roots(spec)
    for finding in roots[:MOST]:
        yield from _finding(spec, finding)
    if len(roots) > MOST:
        yield f"{words.plural(len(roots) - MOST, 'finding')} more."
        yield ""
    rows = [row for row in spec.rows if row.verdict in words.FAILING]
    if rows:
        heads = ("gradient of", "shape", "entries", "worst error", "error bar", "relative error", "verdict")
        yield from _table(heads, [_row(row) for row in rows])
    if spec.replay:
        yield from ("```sh", spec.replay.replace("```", "` ` `"), "```", "")


def _finding(spec: SpecReport, finding: Finding) -> Iterator[str]:
    about = words.subject(finding)
    at = finding.source
    place = f"{at.path}:{at.line}" if at else words.place(spec, finding)
    yield f"**{finding.severity} {finding.code} {finding.name}**{f' {_code(about)}' if about else ''} at {_code(place)}"
    yield ""
    for paragraph in paragraphs(spec, finding, replay=False):
        yield _escaped(paragraph)
        yield ""


def _row(row: Row) -> tuple[str, ...]:
    numbers = (row.max_abs_error, row.error_bar, row.max_rel_error)
    entries = f"{row.counts.fail:,} of {row.checked:,} fail" if row.counts.fail else f"{row.checked:,}"
    return (
        _code(row.name), _code(words.shape(row.shape)), entries,
        *(words.number(value) if row.examined else "-" for value in numbers), _verdict(row.verdict),
    )  # fmt: skip


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _verdict(verdict: str) -> str:
    return f"{_MARKS[verdict]} {verdict.replace('_', ' ')}"


def _code(text: str) -> str:
    """In backticks, whatever is in it."""
    text = " ".join(text.split())
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence}{text}{fence}" if fence == "`" else f"{fence} {text} {fence}"


def _escaped(text: str) -> str:
    """One line in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", " ".join(text.split()))
