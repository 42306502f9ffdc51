"""Markdown for the summary of a step."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from gradcheck.findings import Report, SpecReport
from gradcheck.report import markdown

Written = Callable[..., str]


def test_all_verdicts(report: Report, written: Written, snapshot: Callable[[str, str], None]) -> None:
    snapshot("summary.md", written(markdown, report))


def test_a_mistake_with_a_name_and_one_without(
    diagnosed: SpecReport, written: Written, snapshot: Callable[[str, str], None]
) -> None:
    text = written(markdown, Report("0.1.0", (diagnosed,)))
    snapshot("diagnosed.md", text[text.index("**error GC100") : text.index("| gradient of")])


def test_only_failures_leaves_out_what_passed(report: Report, written: Written) -> None:
    text = written(markdown, replace(report, only_failures=True))
    assert "specs/mlp.yaml" not in text
    assert "3 specs: 1 pass, 1 fail, 1 refused. 416 entries checked" in text


def test_nothing_is_markup(failing: SpecReport, written: Written) -> None:
    bad = replace(failing.findings[1], layer="a`b", message="<script> | *x* [y](z)\n# head", parameter=None, index=None)
    text = written(markdown, Report("0.1.0", (replace(failing, findings=(bad,), path="a|b.yaml"),)))
    assert r"\<script\> \| \*x\* \[y\](z) \# head" in text
    assert "`` a`b ``" in text
    assert r"`a\|b.yaml`" in text


def test_many_findings_are_counted(failing: SpecReport, written: Written) -> None:
    many = tuple(replace(failing.findings[4], id=f"f{k}") for k in range(13))
    text = written(markdown, Report("0.1.0", (replace(failing, findings=many),)))
    assert text.count("**error GC201") == 10
    assert "3 findings more." in text
