"""--select and --ignore, and what a run exits with."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gradcheck._cli_select import Selection, exit_code, worst_exit
from gradcheck.errors import UsageError
from gradcheck.findings import CheckResult, Counts, Finding, Row, SpecReport
from gradcheck.silencing import code_prefix


def row(verdict: str, counts: Counts) -> Row:
    return Row("head.weight", (8,), 8, counts.total, verdict, counts)


def finding(name: str, code: str, severity: str = "error", consequence_of: str | None = None) -> Finding:
    return Finding(name, code, severity, "head", "sentence", consequence_of=consequence_of)


PASSED = SpecReport(
    "a.yaml", "a", "pass", 7, (row("pass", Counts(8)),), checks=(CheckResult("gradient", "GC100", "pass"),)
)
FAILED = replace(
    PASSED,
    verdict="fail",
    parameters=(row("fail", Counts(5, 3)),),
    checks=(CheckResult("gradient", "GC100", "fail"),),
    findings=(
        finding("f1", "GC100"),
        finding("f2", "GC108", consequence_of="f1"),
        finding("f3", "GC201"),
        finding("f4", "GC601", "note"),
    ),
)


@pytest.mark.parametrize(
    ("text", "code"),
    [("GC100", "GC100"), ("gc100", "GC100"), ("GC1", "GC1"), ("GC", "GC"), ("Dropped-Gradient", "GC108")],
)
def test_codes_beginnings_and_names(text: str, code: str) -> None:
    assert code_prefix(text) == code


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("GC999", "did you mean GC"),
        ("droped-gradient", "did you mean dropped-gradient?"),
        ("G", "list checks"),
        ("", "list checks"),
        ("1", "list checks"),
    ],
)
def test_an_unknown_code_is_refused(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match="there is no code or name") as caught:
        code_prefix(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("select", "ignore", "kept"),
    [
        ((), (), ["f1", "f2", "f3", "f4"]),
        (("GC1",), (), ["f1", "f2"]),
        ((), ("GC1",), ["f3", "f4"]),
        ((), ("GC100",), ["f3", "f4"]),  # the consequence goes with its cause
        ((), ("GC108",), ["f1", "f3", "f4"]),
        (("GC108",), (), []),
        (("GC100",), ("GC1",), ["f1"]),  # the longer one wins
        (("GC1",), ("GC1",), []),  # of two equal ones --ignore
        ((), ("GC",), []),
    ],
)
def test_findings_are_filtered(select: tuple[str, ...], ignore: tuple[str, ...], kept: list[str]) -> None:
    spec, left_out = Selection(select, ignore).apply(FAILED)
    assert [f.id for f in spec.findings] == kept
    assert sorted(f.id for f in (*spec.findings, *left_out)) == ["f1", "f2", "f3", "f4"]
    assert spec.counts == FAILED.counts


@pytest.mark.parametrize(
    ("ignore", "verdict", "code"),
    [((), "fail", 1), (("GC1",), "fail", 1), (("GC1", "GC2"), "pass", 0), (("GC",), "pass", 0)],
)
def test_what_is_ignored_does_not_fail(ignore: tuple[str, ...], verdict: str, code: int) -> None:
    spec, _ = Selection((), ignore).apply(FAILED)
    assert (spec.verdict, exit_code(spec, "error")) == (verdict, code)


def test_ignoring_failures_does_not_hide_what_is_undecided() -> None:
    mixed = replace(FAILED, parameters=(row("fail", Counts(4, 3, 1)),))
    spec, _ = Selection((), ("GC",)).apply(mixed)
    assert spec.verdict == "inconclusive"
    assert exit_code(spec, "inconclusive") == 1


UNDECIDED = replace(PASSED, verdict="inconclusive", parameters=(row("inconclusive", Counts(0, 0, 8)),))
PARTLY = replace(PASSED, verdict="inconclusive", parameters=(row("inconclusive", Counts(6, 0, 2)),))
EMPTY = replace(PASSED, verdict="not_applicable", parameters=(Row("w", (8,), 8, 0, "not_applicable"),), checks=())


@pytest.mark.parametrize(
    ("spec", "error", "inconclusive", "never"),
    [
        (PASSED, 0, 0, 0),
        (FAILED, 1, 1, 0),
        (replace(FAILED, findings=()), 1, 1, 0),
        (replace(PASSED, findings=(finding("f", "GC601", "note"),)), 0, 0, 0),
        (UNDECIDED, 1, 1, 0),
        (PARTLY, 0, 1, 0),
        (replace(PASSED, verdict="kink", parameters=(row("kink", Counts(7, 0, 0, 1)),)), 0, 0, 0),
        (replace(PASSED, parameters=(), checks=(CheckResult("reduction", "GC201", "pass"),)), 0, 0, 0),
        (replace(PASSED, verdict="refused"), 2, 2, 2),
        (EMPTY, 5, 5, 5),
        (replace(EMPTY, checks=(CheckResult("per_sample", "GC301", "not_applicable"),)), 5, 5, 5),
    ],
)
def test_exit_codes_of_one_spec(spec: SpecReport, error: int, inconclusive: int, never: int) -> None:
    assert [exit_code(spec, on) for on in ("error", "inconclusive", "never")] == [error, inconclusive, never]


@pytest.mark.parametrize(("codes", "worst"), [([0, 0], 0), ([0, 5], 5), ([5, 1, 0], 1), ([1, 2, 5], 2)])
def test_what_could_not_be_run_weighs_most(codes: list[int], worst: int) -> None:
    assert worst_exit(codes) == worst
