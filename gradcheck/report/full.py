"""The report for people: what was checked, how closely it agrees, and what is wrong, worst first.

One spec, or one that did not pass, gets everything; a passing spec among several gets one line. Widths are those of
the terminal, 80 columns in a pipe (or $COLUMNS); colours only underline what words already say.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from msgspec import Struct
from msgspec.structs import replace
from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from gradcheck.findings import CheckResult, Finding, Location, Report, Row, Source, SpecReport
from gradcheck.report import _conclusions as conclusions
from gradcheck.report import _words as words
from gradcheck.report._tellings import failures, noted

#: More findings than this are only counted: nobody reads the eleventh before mending the first.
MOST_FINDINGS = 10
#: Examples of entries at a kink, each from another layer.
MOST_KINKS = 3
#: A name column narrower than this folds names into confetti; the rows are then written below each other.
LEAST_NAME = 12
_GAP = 2
#: Among several specs, those with these verdicts get one line.
_BRIEF = ("pass", "kink")
_STYLES = {
    "pass": "green",
    "kink": "cyan",
    "not_applicable": "dim",
    "inconclusive": "yellow",
    "fail": "bold red",
    "refused": "bold red",
    "error": "bold red",
    "warning": "yellow",
    "note": "cyan",
}
_ASCII_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


def write(report: Report, stream: TextIO) -> None:
    """Write the report, wrapped and coloured as this stream can bear."""
    console = _console(stream)
    with console.capture() as capture:
        show(report, console)
    stream.writelines(line.rstrip() + "\n" for line in capture.get().splitlines())


def text(report: Report, width: int = 80) -> str:
    """The report without colours, so many columns wide."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        show(report, console)
    return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


def show(report: Report, console: Console) -> None:
    """Print the report on a console of rich."""
    page = _Page(console)
    alone = len(report.specs) == 1
    shown = failures(report) if report.only_failures else report.specs
    for number, spec in enumerate(shown):
        if alone or spec.verdict not in _BRIEF or report.only_failures:
            if number:
                page.blank()
            (_show_failures if report.only_failures else _show_spec)(page, spec)
        else:
            _show_line(page, spec)
    if not alone or not shown:
        _show_total(page, report)


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else int(os.environ.get("COLUMNS") or 80)
    # FORCE_COLOR is about the log that somebody looks at, not about files: those stay plain.
    coloured = None if stream is sys.stdout else False
    return Console(file=stream, width=width, force_terminal=coloured)


class _Page(Struct, frozen=True):
    """Where a report is printed, and the few forms that it is printed in."""

    console: Console

    def blank(self) -> None:
        self.console.print()

    def say(self, text: Text | str, indent: int = 0) -> None:
        """A paragraph, wrapped."""
        self.console.print(Padding(Text(text) if isinstance(text, str) else text, (0, 0, 0, indent)))

    def line(self, text: Text, indent: int = 0) -> None:
        """One line that is copied elsewhere (a command, a place), and so is never wrapped."""
        self.console.print(Text(" " * indent).append_text(text), soft_wrap=True)

    def title(self, text: str, verdict: str = "") -> None:
        self.blank()
        self.say(Text(text, "bold").append_text(_verdict(verdict, ": ")) if verdict else Text(text, "bold"))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Text]], numeric: Iterable[int] = ()) -> bool:
        """A table whose first column folds and whose others stay whole; False where it would not fit."""
        cells = [[Text(head) for head in heads], *rows]
        others = [max(_width(row[i]) for row in cells) for i in range(1, len(heads))]
        names = max(_width(row[0]) for row in cells)
        room = self.console.width - sum(others) - _GAP * len(others)
        if room < min(names, LEAST_NAME):
            return False
        right = set(numeric)
        utf = self.console.encoding.startswith("utf")
        table = Table(
            box=SIMPLE_HEAD if utf else _ASCII_HEAD,
            padding=(0, 1, 0, 0),
            header_style="bold",
            show_edge=False,
            pad_edge=False,
        )
        for i, head in enumerate(heads):
            justify = "right" if i in right else "left"
            table.add_column(Text(head), justify=justify, no_wrap=i > 0, overflow="fold")  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
        return True


def _width(text: Text) -> int:
    return max(line.cell_len for line in text.split("\n", allow_blank=True))


def _verdict(verdict: str, before: str = "") -> Text:
    return Text(before).append(verdict.replace("_", " "), _STYLES[verdict])


def _show_line(page: _Page, spec: SpecReport) -> None:
    found = noted(spec)
    said = f": {conclusions.brief(spec)}" + (f" {found}." if found else "")
    page.say(_verdict(spec.verdict).append("  ").append(spec.path, "bold").append(said))


def _show_total(page: _Page, report: Report) -> None:
    if failures(report) or not report.only_failures:
        page.blank()
    for spec in report.specs:
        if spec.verdict not in _BRIEF:
            page.say(
                _verdict(spec.verdict)
                .append("  ")
                .append(spec.path, "bold")
                .append(f": {conclusions.conclusion(spec)}")
            )
    page.say(_verdict(report.verdict).append(": ").append(conclusions.total(report)))


def _show_spec(page: _Page, spec: SpecReport) -> None:
    page.line(Text(spec.name, "bold").append(f"  {spec.path}", "not bold"))
    if spec.errors:
        _show_errors(page, spec)
    else:
        _show_network(page, spec)
        _show_rows(page, spec)
        for check in spec.checks:
            _show_check(page, check)
        _show_findings(page, spec)
        _show_silenced(page, spec)
    page.blank()
    _show_conclusion(page, spec)


def _show_failures(page: _Page, spec: SpecReport) -> None:
    """What did not pass, findings first: the worst entry is the first thing to be read."""
    page.line(Text(spec.name, "bold").append(f"  {spec.path}", "not bold"))
    _show_errors(page, spec)
    _show_findings(page, replace(spec, findings=tuple(f for f in spec.findings if f.severity != "note")))
    failing = [row for row in spec.rows if row.verdict in words.FAILING]
    if failing:
        page.blank()
        _show_table(page, failing)
    for check in spec.checks:
        if check.verdict in words.FAILING:
            _show_check(page, check)
    page.blank()
    _show_conclusion(page, spec)


def _show_conclusion(page: _Page, spec: SpecReport) -> None:
    page.say(_verdict(spec.verdict).append(": ").append(conclusions.conclusion(spec)))
    if not spec.errors:
        page.say(f"{words.counts(spec)}. Seed {spec.seed}.")
    if spec.replay:
        page.say("Repeat the run:" if spec.drawn and "--entry" not in spec.replay else "Repeat the worst entry:")
        page.line(Text(spec.replay), indent=2)


def _show_errors(page: _Page, spec: SpecReport) -> None:
    for error in spec.errors:
        page.line(Text(f"{error.path}:{error.line}:{error.column}: {error.message}"), indent=2)


def _show_network(page: _Page, spec: SpecReport) -> None:
    if not spec.network:
        return
    page.say(
        f"{words.plural(spec.batch_size, 'sample')}, backward in {spec.dtype}, loss {spec.loss}{words.objective(spec)}"
    )
    rows = [
        (row.name, f"{row.type} {row.options}".strip(), ", ".join(map(words.shape, row.output_shapes)), row)
        for row in spec.network
    ]
    page.blank()
    options = max(len(row[1]) for row in rows)
    room = page.console.width - sum(max(len(str(row[i])) for row in rows) for i in (0, 2)) - 24
    fold = max(LEAST_NAME, min(options, room))
    cells = [(Text(name), _folded(kind, fold), Text(shape), Text(words.learnt(row))) for name, kind, shape, row in rows]
    if page.table(("layer", "type and options", "output", "parameters"), cells, numeric=(3,)):
        return
    for name, kind, shape, row in rows:
        shared = f", {row.shared:,} shared" if row.shared else ""
        page.say(f"{name}: {kind}, output {shape}, {words.plural(row.parameters, 'parameter')}{shared}", indent=2)


def _folded(text: str, width: int) -> Text:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return Text("\n".join(lines))


def _show_rows(page: _Page, spec: SpecReport) -> None:
    if not spec.rows:
        return
    page.blank()
    _show_table(page, spec.rows)
    for why, names in _grouped(spec.rows).items():
        whose = "" if len(names) == len(spec.rows) else f" ({words.listed(names)})"
        page.say(f"{why[0]}{whose}: {': '.join(filter(None, why[1:]))}.", indent=2)
    for sentence in words.shared(spec):
        page.say(sentence, indent=2)
    if spec.course:
        page.say(spec.course, indent=2)
    _show_seen(page, spec)
    if spec.counts.kink:
        _show_kinks(page, spec)
    if met := words.directions_at_kinks(spec):
        page.say(met, indent=2)


def _show_table(page: _Page, rows: Sequence[Row]) -> None:
    heads = ("gradient of", "shape", "entries", "worst\nerror", "error\nbar", "relative\nerror", "verdict")
    if not page.table(heads, [_cells(row) for row in rows], numeric=range(2, 6)):
        for row in rows:
            page.say(_in_words(row), indent=2)


def _show_seen(page: _Page, spec: SpecReport) -> None:
    """How small a mistake could have been seen, and where none could."""
    for sentence in filter(None, (words.seen(spec), words.untested(spec))):
        page.say(sentence, indent=2)


def _show_kinks(page: _Page, spec: SpecReport) -> None:
    examples = words.kinks(spec)[:MOST_KINKS]
    page.say(
        f"{words.plural(spec.counts.kink, 'entry')} on a kink (a relu at 0, a tie in a maximum): there is no "
        "derivative there, so each layer on the path was judged alone: backward says one of the slopes allowed."
        f"{' For example:' if examples else ''}",
        indent=2,
    )
    for example in examples:
        page.say(example, indent=4)


def _cells(row: Row) -> tuple[Text, ...]:
    checked = f"{row.checked:,} of {row.entries:,}"
    if row.directions or row.checked == row.entries:
        checked = f"{row.entries:,}"
    errors = (row.max_abs_error, row.error_bar, row.max_rel_error)
    numbers = [Text(words.number(value) if row.examined else "-") for value in errors]
    return (Text(row.name), Text(words.shape(row.shape)), Text(checked), *numbers, _row_verdict(row))


def _row_verdict(row: Row) -> Text:
    """The verdict, and where it is not that of the whole row, of how many entries it is."""
    if row.frozen:
        return Text("frozen", _STYLES[row.verdict])
    if row.directions:
        failing, drawn = row.directions["fail"], row.directions["drawn"]
        return _verdict(row.verdict).append(f" ({failing:,} of {drawn:,})" if 0 < failing < drawn else "")
    c = row.counts
    share = {"fail": c.fail, "inconclusive": c.inconclusive, "kink": c.kink}.get(row.verdict, c.total)
    return _verdict(row.verdict).append("" if share in (0, c.total) else f" ({share:,})")


def _in_words(row: Row) -> Text:
    name, shape, entries, error, bar, relative, verdict = _cells(row)
    numbers = f": worst error {error}, error bar {bar}, relative error {relative}" if row.examined else ""
    return name.append(f" {shape}, {entries} entries{numbers}: ").append_text(verdict)


def _grouped(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[str]]:
    """What there is to say about how rows were checked -> the rows of which it is true."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        what = "Numeric gradient" if row.examined else "Not checked"
        if row.method or row.reason:
            groups.setdefault((what, words.method(row.method), row.reason.rstrip(".")), []).append(row.name)
    return groups


def _show_check(page: _Page, check: CheckResult) -> None:
    sentences = [check.reason, *check.measured.get("sentences", ())]
    said = list(dict.fromkeys(filter(None, sentences)))
    if check.check in words.ABOUT_ENTRIES and not said:
        return
    page.title(words.check_title(check), check.verdict)
    for sentence in said:
        page.say(sentence, indent=2)


def _show_findings(page: _Page, spec: SpecReport) -> None:
    roots = words.roots(spec)
    for finding in roots[:MOST_FINDINGS]:
        _show_finding(page, spec, finding)
    if len(roots) > MOST_FINDINGS:
        page.blank()
        page.say(f"{words.plural(len(roots) - MOST_FINDINGS, 'finding')} more; --format json lists all of them.")


def _show_silenced(page: _Page, spec: SpecReport) -> None:
    excused = conclusions.silenced(spec)
    if excused:
        page.title("excused findings")
        for sentence in excused:
            page.say(sentence, indent=2)


def _show_finding(page: _Page, spec: SpecReport, finding: Finding) -> None:
    page.blank()
    head = Text(finding.severity, _STYLES[finding.severity]).append(f" {finding.code} {finding.name}", "bold")
    about = words.subject(finding)
    page.say(head.append(f": {about}" if about else "", "not bold"))
    page.line(Text(f"at {words.place(spec, finding)}"), indent=2)
    if finding.source and not _is_at(finding.source, finding.location):
        page.line(Text(f"backward: {finding.source.path}:{finding.source.line}"), indent=2)
    page.say(finding.message, indent=2)
    _show_evidence(page, finding)
    _show_layer_alone(page, finding)
    if finding.diagnosis:
        share = f"explains {finding.diagnosis.explains:.0%} of the discrepancy"
        page.say(f"{finding.diagnosis.name}: {finding.diagnosis.formula} ({share})", indent=2)
    tainted = words.consequences(spec, finding)
    if tainted:
        page.say(f"Wrong only because of this: {words.listed(tainted)}.", indent=2)
    if finding.replay and finding.replay != spec.replay:
        page.say("Repeat it:", indent=2)
        page.line(Text(finding.replay), indent=4)


def _is_at(source: Source, location: Location | None) -> bool:
    """Whether both are the same line: of a layer without a spec the place is its backward."""
    return location is not None and (source.path, source.line) == (location.path, location.line)


def _show_evidence(page: _Page, finding: Finding) -> None:
    entry = finding.evidence
    if entry is None:
        return
    analytic, numeric = words.pair(entry.analytic, entry.numeric)
    ratio = f"{words.number(entry.ratio)} error bars" if entry.ratio == entry.ratio else "not comparable"
    rows: list[tuple[str, str]] = [
        ("analytic, from backward", analytic),
        ("numeric, from forward", numeric),
        ("error bar", words.number(entry.error_bar)),
        ("apart by", ratio),
    ]
    grid = Table.grid(Column(overflow="fold"), Column(overflow="fold"), padding=(0, 2))
    for label, value in rows:
        grid.add_row(Text(label), Text(value))
    page.console.print(Padding(grid, (0, 0, 0, 4)))


def _show_layer_alone(page: _Page, finding: Finding) -> None:
    """A few entries of the guilty layer by itself, and where its wrong entries lie."""
    if len(finding.entries) > 1:
        page.say("The layer alone:", indent=2)
        grid = Table.grid(*(Column(overflow="fold") for _ in range(4)), padding=(0, 2))
        for entry in finding.entries:
            analytic, numeric = words.pair(entry.analytic, entry.numeric)
            share = f"{words.number(entry.analytic / entry.numeric)} ×" if entry.numeric else "-"
            grid.add_row(*map(Text, (words.index(entry.index), analytic, numeric, share)))
        page.console.print(Padding(grid, (0, 0, 0, 4)))
    if finding.picture:
        page.say("Where it is wrong (. right, - to # wrong):", indent=2)
        for line in finding.picture:
            page.line(Text(line), indent=4)
