"""A spec's `ignore` in a run: what it excuses, and when an entry is called unused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.findings import SpecReport
from gradcheck.pipeline import run_spec
from gradcheck.spec.read import Overrides

LAYER = """\
from gradcheck import Layer

class Twice(Layer):
    def forward(self, x):
        return 2 * x, None

    def backward(self, dy, cache):
        return dy, {}
"""
SPEC = """\
data: {batch_size: 2, inputs: {shape: [3]}, targets: {shape: [3]}}
network: [tanh, twice]
loss: mse
ignore:
  - {code: GC1, at: twice_1, reason: it is known}
  - {code: GC501, at: tanh_1, reason: it was so once}
"""


@pytest.fixture
def run(tmp_path: Path):
    (tmp_path / "twice.py").write_text(LAYER, encoding="utf-8")
    catalogue = Catalogue((str(tmp_path / "twice.py"),))

    def run_it(text: str = SPEC, **overrides) -> SpecReport:
        return run_spec("net.yaml", text, catalogue, Overrides(**overrides)).report

    return run_it


def unused(spec: SpecReport) -> list[int]:
    return [f.location.line for f in spec.findings if f.code == "GC604" and f.location]


def test_what_is_excused_and_what_is_unused(run) -> None:
    spec = run()
    assert spec.verdict == "pass"
    assert {each.finding.layer for each in spec.silenced if each.finding.consequence_of is None} == {"twice_1"}
    assert all(each.reason == "it is known" for each in spec.silenced)
    assert unused(spec) == [6]


def test_nothing_is_called_unused_where_not_all_was_looked_at(run) -> None:
    assert unused(run(entries=("input[0,0]",))) == []
    assert unused(run(directions=4)) == []
    assert unused(run(SPEC + "checks: {contract: false}\n")) == []


def test_a_layer_that_fails_at_once_can_be_excused(run, tmp_path: Path) -> None:
    raising = LAYER.replace("return 2 * x, None", "raise ValueError('no')").replace("Twice", "Raising")
    (tmp_path / "raising.py").write_text(raising, encoding="utf-8")
    text = SPEC.replace("twice]", "raising]").replace("GC1, at: twice_1", "GC901, at: raising_1")
    spec = run_spec("net.yaml", text, Catalogue((str(tmp_path / "raising.py"),))).report
    assert [each.finding.code for each in spec.silenced] == ["GC901"]
    assert unused(spec) == []
