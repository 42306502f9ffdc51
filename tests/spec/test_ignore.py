"""The section `ignore`: known findings, each with a reason."""

from __future__ import annotations

import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.errors import SpecError
from gradcheck.findings import Location
from gradcheck.silencing import Ignore
from gradcheck.spec.read import read_case, validate

SPEC = """\
data:
  batch_size: 2
  inputs: {shape: [3]}
  targets: {shape: [3]}
network: [relu]
loss: mse
ignore:
"""


def problems(entries: str) -> list[str]:
    return [f"{p.line}:{p.column}: {p.message}" for p in validate("a.yaml", SPEC + entries, Catalogue())[0]]


def test_entries_are_read() -> None:
    text = SPEC + "  - {code: dropped-gradient, at: relu_1, reason: it is meant}\n  - {code: gc6, reason: '  so\n  so'}"
    assert read_case("a.yaml", text, Catalogue()).ignores == (
        Ignore("GC108", "relu_1", "it is meant", Location("a.yaml", 8, 5)),
        Ignore("GC6", "*", "so so", Location("a.yaml", 9, 5)),
    )


@pytest.mark.parametrize(("entries", "said"), [
    ("  - {code: GC114, at: relu_1}", "8:5: an entry of `ignore` needs the key `reason`, a string"),
    ("  - {code: GC114, reason: ' '}", "8:27: `reason` is empty; say why the finding is all right"),
    ("  - {reason: known}", "8:5: an entry of `ignore` needs the key `code`, a string"),
    ("  - {code: GC999, reason: known}", "8:12: there is no code or name 'GC999'; did you mean GC"),
    ("  - {code: droped-gradient, reason: known}", "did you mean dropped-gradient?"),
    ("  - {code: GC1, reasons: known}", "8:17: an entry of `ignore` has no key `reasons`; did you mean `reason`?"),
    ("  - {code: 114, reason: known}", "8:12: `code` must be a string, got 114"),
    ("  - GC114", "8:5: an entry of `ignore` must be a mapping of keys to values, got 'GC114'"),
    ("  code: GC1", "8:3: `ignore` must be a list of entries such as {code: GC114, at: relu_1, reason:"),
    ("  []", "8:3: `ignore` must be a list of entries"),
])  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(entries: str, said: str) -> None:
    (problem,) = problems(entries)
    assert said in problem


def test_a_run_refuses_it_too() -> None:
    with pytest.raises(SpecError, match="needs the key `reason`"):
        read_case("a.yaml", f"{SPEC}  - code: GC1", Catalogue())
