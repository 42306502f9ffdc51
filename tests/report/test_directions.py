"""What the formats for people say about directions."""

from __future__ import annotations

import io
from typing import Any

import pytest

from gradcheck.findings import Counts, Report, Row, SpecReport
from gradcheck.report import _conclusions as conclusions
from gradcheck.report import concise, full


def row(name: str, verdict: str, passed: int, fail: int, **options: Any) -> Row:
    given = {"max_rel_error": 1e-15, "error_bar": 1e-14, "detectable": 1e-11, "method": "complex", **options}
    return Row(name, (3, 4), 12, 0, verdict, directions={"drawn": 4, "pass": passed, "fail": fail}, **given)


def spec(*rows: Row, verdict: str = "pass") -> SpecReport:
    return SpecReport("net.yaml", "net", verdict, 0, rows, course="Probed along 4 random directions of each tensor.")


def shown(report: SpecReport, write: Any = full.write) -> str:
    stream = io.StringIO()
    write(Report("1", (report,)), stream)
    return " ".join(stream.getvalue().split())


def test_directions_that_pass() -> None:
    out = shown(spec(row("a", "pass", 4, 0), row("b", "pass", 4, 0)))
    assert "Probed along 4 random directions of each tensor." in out
    assert (
        "Smallest relative mistake in one entry of usual size that could have been seen: 1e-11 in every tensor" in out
    )
    assert "8 directions probed: 8 pass, 0 fail, 0 inconclusive, 0 kink." in out
    assert "Along every direction, to a relative error of at most 1e-15, the slopes agree" in out


def test_directions_of_every_verdict_add_up() -> None:
    rows = (row("a", "fail", 1, 3), row("b", "kink", 1, 0), row("c", "inconclusive", 2, 0), row("d", "pass", 4, 0))
    out = shown(spec(*rows, verdict="fail"))
    assert "16 directions probed: 8 pass, 3 fail, 2 inconclusive, 3 kink." in out
    assert "Of 16 directions, 3 disagree, 2 could not be decided and 3 meet a kink." in out
    assert "3 directions met a kink" in out
    assert "fail (3 of 4)" in out


def test_undecided_directions_have_a_line_of_their_own() -> None:
    out = shown(spec(row("c", "inconclusive", 1, 0, reason="because"), verdict="inconclusive"), concise.write)
    assert "net.yaml: inconclusive c: 3 of 4 directions could not be decided: because" in out


@pytest.mark.parametrize(("rows", "words_"), [
    ((row("a", "pass", 4, 0),), "4 directions agree to a relative error of at most 1e-15."),
    ((row("a", "kink", 1, 0),), "1 direction agrees to a relative error of at most 1e-15, 3 on a kink."),
])  # fmt: skip
def test_half_a_line(rows: tuple[Row, ...], words_: str) -> None:
    assert conclusions.brief(spec(*rows)) == words_


def test_entries_and_directions_are_both_counted_over_all_specs() -> None:
    swept = SpecReport("b.yaml", "b", "pass", 0, (Row("x", (2,), 2, 2, "pass", Counts(passed=2)),))
    total = conclusions.total(Report("1", (swept, spec(row("a", "pass", 4, 0)))))
    assert "2 entries checked: 2 pass, 0 fail, 0 inconclusive, 0 kink; 4 directions probed: 4 pass" in total
