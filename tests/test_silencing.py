"""What is left of a report when findings do not count."""

from __future__ import annotations

import pytest

from gradcheck.findings import CheckResult, Counts, Finding, Location, Row, SpecReport
from gradcheck.silencing import Ignore, ignoring, silence

HERE = Location("a.yaml", 9, 5)


def finding(name: str, code: str, layer: str = "head", parameter: str | None = None, cause: str | None = None):
    return Finding(name, code, "error", layer, "sentence", parameter, consequence_of=cause)


SPEC = SpecReport(
    "a.yaml",
    "a",
    "fail",
    7,
    (Row("head.weight", (8,), 8, 8, "fail", Counts(5, 3)),),
    checks=(CheckResult("gradient", "GC100", "fail"), CheckResult("reduction", "GC201", "pass")),
    findings=(
        finding("f1", "GC101", "relu_1"),
        finding("f2", "GC100", "head", "head.weight", cause="f1"),
        finding("f3", "GC100", "head", "head.bias", cause="f2"),
        finding("f4", "GC201", "loss"),
    ),
)


def names(spec: SpecReport) -> list[str]:
    return [found.id for found in spec.findings]


@pytest.mark.parametrize(("code", "at", "left"), [
    ("GC101", "relu_1", ["f4"]), ("GC1", "*", ["f4"]), ("GC1", "relu_?", ["f4"]),
    ("GC100", "head.*", ["f1", "f4"]), ("GC100", "head", ["f1", "f4"]), ("GC100", "head.bias", ["f1", "f2", "f4"]),
])  # fmt: skip
def test_an_entry_fits_by_code_and_place_and_consequences_go_along(code: str, at: str, left: list[str]) -> None:
    spec = ignoring(SPEC, [Ignore(code, at, "known", HERE)])
    assert names(spec) == left
    assert {each.finding.id for each in spec.silenced} | set(left) == {"f1", "f2", "f3", "f4"}
    assert {(each.by, each.reason) for each in spec.silenced} == {("spec", "known")}
    assert spec.verdict == "fail"


def test_the_verdict_is_that_of_what_is_left() -> None:
    spec = ignoring(SPEC, [Ignore("GC", "*", "known", HERE)])
    assert (spec.verdict, spec.findings) == ("pass", ())
    assert spec.counts == SPEC.counts


def test_an_unused_entry_is_reported_unless_not_all_was_looked_at() -> None:
    unused = [Ignore("GC1", "tanh_1", "known", HERE)]
    warning = ignoring(SPEC, unused).findings[-1]
    assert (warning.code, warning.severity, warning.location) == ("GC604", "warning", HERE)
    assert "GC1 at tanh_1" in warning.message
    assert ignoring(SPEC, unused, whole=False) == SPEC
    assert ignoring(SPEC, [Ignore("GC501", "*", "its check is off", HERE)]) == SPEC


def test_two_who_excuse_are_both_named() -> None:
    spec = silence(ignoring(SPEC, [Ignore("GC2", "loss", "known", HERE)]), "baseline", {"f1": "old"})
    assert [(each.finding.id, each.by, each.reason) for each in spec.silenced] == [
        ("f4", "spec", "known"), ("f1", "baseline", "old"), ("f2", "baseline", "old"), ("f3", "baseline", "old"),
    ]  # fmt: skip
    assert spec.verdict == "pass"


def test_a_fingerprint_has_no_line_and_no_entry() -> None:
    one = Finding("f1", "GC101", "error", "head", "here", "head.weight", (1, 2), Location("a.yaml", 3, 4))
    other = Finding("f9", "GC101", "error", "head", "there", "head.weight", (0, 0), Location("a.yaml", 30, 4))
    assert one.fingerprint("a.yaml") == other.fingerprint("a.yaml") != one.fingerprint("b.yaml")
    assert one.fingerprint("a.yaml") != finding("f1", "GC101").fingerprint("a.yaml")
