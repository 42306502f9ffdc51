"""Annotations of GitHub Actions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from gradcheck.findings import Finding, Report, Source, SpecReport
from gradcheck.report import github

Written = Callable[..., str]


def test_all_verdicts(report: Report, written: Written, snapshot: Callable[[str, str], None]) -> None:
    snapshot("github.txt", written(github, report))


def findings(count: int, severity: str = "error") -> tuple[Finding, ...]:
    return tuple(Finding(f"f{k}", "GC100", severity, f"layer_{k}", f"layer_{k}: wrong") for k in range(count))


@pytest.mark.parametrize(("count", "lines", "more"), [(9, 9, 0), (10, 10, 0), (11, 10, 2), (40, 10, 31)])
@pytest.mark.parametrize(("severity", "command"), [("error", "error"), ("warning", "warning"), ("note", "notice")])
def test_the_tenth_says_how_many_more_there_are(
    count: int, lines: int, more: int, severity: str, command: str, passing: SpecReport, written: Written
) -> None:
    spec = replace(passing, findings=findings(count, severity))
    *shown, total = written(github, Report("0.1.0", (spec,))).splitlines()
    assert len(shown) == lines
    assert all(line.startswith(f"::{command} ") for line in shown)
    assert not total.startswith("::")
    assert (f"::{more} more {severity}s, which a step does not show" in shown[-1]) == bool(more)


def test_the_worst_come_first_over_all_specs(passing: SpecReport, written: Written) -> None:
    one = replace(passing, findings=findings(2, "warning"))
    text = written(github, Report("0.1.0", (one, replace(passing, path="b.yaml", findings=findings(1)))))
    assert [line.split(" ")[0] for line in text.splitlines()[:-1]] == ["::error", "::warning", "::warning"]


def test_everything_is_escaped(passing: SpecReport, written: Written) -> None:
    finding = Finding("f1", "GC100", "error", "a:b", "50 % of\r\n::error::it", source=Source("a,b:c%.py", 3, 5, 3, 9))
    line, _ = written(github, Report("0.1.0", (replace(passing, findings=(finding,)),))).splitlines()
    assert line == (
        "::error file=a%2Cb%3Ac%25.py,line=3,endLine=3,col=5,endColumn=9,"
        "title=gradcheck GC100 unexplained-mismatch%3A a%3Ab::50 %25 of%0D%0A::error::it"
    )


def test_a_passing_run_annotates_nothing(passing: SpecReport, written: Written) -> None:
    (line,) = written(github, Report("0.1.0", (passing,))).splitlines()
    assert line.startswith("1 spec: 1 pass.")
