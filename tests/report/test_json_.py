"""The machine-readable report keeps its contract."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from gradcheck.findings import CheckResult, Report, SpecReport
from gradcheck.report import json_

Written = Callable[..., str]
SPEC = ["path", "name", "verdict", "seed", "parameters", "inputs", "checks", "findings", "errors"]
ROW = [
    "name", "shape", "entries", "checked", "verdict", "counts", "max_abs_error", "max_rel_error", "error_bar", "worst",
    "detectable", "directions",
]  # fmt: skip
FINDING = [
    "id", "code", "name", "severity", "layer", "parameter", "index", "location", "message", "diagnosis",
    "consequence_of", "replay",
]  # fmt: skip


def load(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"bare {constant}")

    return json.loads(text, parse_constant=refuse)


def test_all_verdicts(report: Report, written: Written, snapshot: Callable[[str, str], None]) -> None:
    snapshot("report.json", written(json_, report))


def test_a_mistake_with_a_name_and_one_without(
    diagnosed: SpecReport, written: Written, snapshot: Callable[[str, str], None]
) -> None:
    (spec,) = load(written(json_, Report("0.1.0", (diagnosed,))))["specs"]
    snapshot("diagnosed.json", json.dumps(spec["findings"], indent=2, ensure_ascii=False) + "\n")


def test_fields_are_those_of_the_contract_in_their_order(report: Report, written: Written) -> None:
    document = load(written(json_, report))
    assert list(document) == ["schema_version", "tool", "verdict", "specs"]
    assert document["schema_version"] == 1
    assert document["tool"] == {"name": "gradcheck", "version": "0.1.0"}
    for spec in document["specs"]:
        assert list(spec)[: len(SPEC)] == SPEC
        for row in spec["parameters"] + spec["inputs"]:
            assert list(row)[: len(ROW)] == ROW
            assert list(row["counts"]) == ["pass", "fail", "inconclusive", "kink"]
            assert sum(row["counts"].values()) == row["checked"]
            assert row["worst"] is None or list(row["worst"]) == ["index", "analytic", "numeric", "error_bar"]
        for check in spec["checks"]:
            assert list(check) == ["check", "code", "verdict", "reason", "measured"]
        for finding in spec["findings"]:
            assert list(finding)[: len(FINDING)] == FINDING
            assert finding["location"] is None or list(finding["location"]) == ["path", "line", "column"]
            assert finding["diagnosis"] is None or list(finding["diagnosis"]) == ["name", "explains", "formula"]


def test_a_refused_spec_has_its_errors(report: Report, written: Written) -> None:
    document = load(written(json_, report))
    assert document["verdict"] == "refused"
    assert [spec["verdict"] for spec in document["specs"]] == ["pass", "fail", "refused"]
    assert document["specs"][2]["errors"][0] == {
        "path": "specs/bad.yaml",
        "line": 3,
        "column": 7,
        "message": "out_features is 'ten'; expected a whole number of at least 1",
    }


def test_non_finite_numbers_are_strings(failing: SpecReport, written: Written) -> None:
    row = load(written(json_, Report("0.1.0", (failing,))))["specs"][0]["parameters"][1]
    assert (row["max_abs_error"], row["max_rel_error"], row["worst"]["analytic"]) == ("nan", "inf", "nan")
    negative = replace(failing, checks=(CheckResult("reduction", "GC201", "fail", "", {"low": -math.inf}),))
    assert load(written(json_, Report("0.1.0", (negative,))))["specs"][0]["checks"][0]["measured"]["low"] == "-inf"


def test_numbers_of_numpy_become_plain(passing: SpecReport, written: Written) -> None:
    measured = {
        "a": np.float64(0.1),
        "b": np.int64(3),
        "c": np.bool_(True),
        "d": np.array([1.5, np.nan]),
    }
    check = CheckResult("reduction", "GC201", "pass", "", measured)
    document = load(written(json_, Report("0.1.0", (replace(passing, checks=(check,)),))))
    found = document["specs"][0]["checks"][0]["measured"]
    assert found == {"a": 0.1, "b": 3, "c": True, "d": [1.5, "nan"]}


def test_the_bytes_do_not_depend_on_the_encoding(report: Report, written: Written) -> None:
    text = written(json_, report)
    assert written(json_, report, "ascii") == text
    assert text.isascii()
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
