"""What several formats tell of findings: all of one in paragraphs, where it comes from, and which specs have failed."""

from __future__ import annotations

from gradcheck.findings import Finding, Report, Row, SpecReport
from gradcheck.report import _words as words


def paragraphs(spec: SpecReport, finding: Finding, replay: bool = True) -> list[str]:
    """All there is to say about a finding: the message, both numbers, the diagnosis, what follows, how to repeat it."""
    said = [finding.message]
    entry = finding.evidence
    if entry is not None:
        analytic, numeric = words.pair(entry.analytic, entry.numeric)
        ratio = f"; apart by {words.number(entry.ratio)} error bars" if entry.ratio == entry.ratio else ""
        said.append(
            f"analytic, from backward: {analytic}; numeric, from forward: {numeric}; error bar: "
            f"{words.number(entry.error_bar)}{ratio}"
        )
    if finding.diagnosis:
        share = f"explains {finding.diagnosis.explains:.0%} of the discrepancy"
        said.append(f"{finding.diagnosis.name}: {finding.diagnosis.formula} ({share})")
    if tainted := words.consequences(spec, finding):
        said.append(f"Wrong only because of this: {words.listed(tainted)}.")
    if replay and finding.replay:
        said.append(f"Repeat it: {finding.replay}")
    return said


def root_of(spec: SpecReport, finding: Finding) -> Finding:
    """The finding that this one is a consequence of, directly or through others; itself where it is none's."""
    by_id = {each.id: each for each in spec.findings}
    while (cause := by_id.get(finding.consequence_of or "")) is not None:
        finding = cause
    return finding


def failures(report: Report) -> tuple[SpecReport, ...]:
    """The specs that did not pass, or that an error is about."""
    return tuple(
        s for s in report.specs if s.verdict in words.FAILING or any(f.severity == "error" for f in s.findings)
    )


def noted(spec: SpecReport) -> str:
    """`1 warning and 2 notes`; empty where nothing was found."""
    counts = [(sum(f.severity == severity for f in spec.findings), severity) for severity in words.SEVERITIES]
    return words.listed([words.plural(count, severity) for count, severity in counts if count])


def is_undecided(row: Row) -> bool:
    """Whether nothing at all could be concluded about a row: a run that has one exits with 1."""
    return bool(row.checked) and row.counts.inconclusive == row.checked
