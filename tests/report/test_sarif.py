"""SARIF that GitHub shows at the right line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace
from published import schema

from gradcheck.findings import Report, Silenced, Source, SpecReport
from gradcheck.report import sarif

Written = Callable[..., str]
HERE = Source("layers/my layers.py", 19, 5, 19, 35)


@pytest.fixture
def sourced(failing: SpecReport) -> SpecReport:
    """A finding of a user's layer, one that is excused, and one at the spec alone."""
    findings = (replace(failing.findings[1], source=HERE), *failing.findings[2:])
    return replace(failing, findings=findings, silenced=(Silenced(failing.findings[0], "spec", "it is known"),))


def document(written: Written, *specs: SpecReport, **fields: Any) -> Any:
    return json.loads(written(sarif, Report("0.1.0", specs, **fields), "ascii"))["runs"][0]


def test_all_verdicts(
    report: Report, sourced: SpecReport, written: Written, snapshot: Callable[[str, str], None]
) -> None:
    passing, _, refused = report.specs
    snapshot("report.sarif", written(sarif, Report("0.1.0", (passing, sourced, refused))))


def test_it_keeps_the_published_schema(report: Report, sourced: SpecReport, written: Written) -> None:
    published = json.loads(schema("sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft4Validator(published)
    for specs in (report.specs, (sourced,), ()):
        validator.validate(json.loads(written(sarif, Report("0.1.0", tuple(specs)))))


def test_the_place_is_the_backward_and_the_spec_is_related(sourced: SpecReport, written: Written) -> None:
    run = document(written, sourced)
    result = next(r for r in run["results"] if r["properties"].get("layer") == "[/foo]")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "layers/my%20layers.py"}
    assert place["region"] == {"startLine": 19, "startColumn": 5, "endLine": 19, "endColumn": 35}
    related = result["relatedLocations"][0]["physicalLocation"]
    assert related["artifactLocation"]["uri"] == "specs/wrong/%5Bbold%5Dsign.yaml"
    assert related["region"]["startLine"] == 14
    assert "analytic, from backward: 0.26" in result["message"]["text"]


def test_rules_results_and_fingerprints(sourced: SpecReport, written: Written) -> None:
    texts = {"GC100": "A title.\n\n## What it is\nTwo\nlines.\n\n## Why it is bad\nIt is."}
    run = document(written, sourced, texts=texts)
    rules = run["tool"]["driver"]["rules"]
    assert [run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] for r in run["results"]] == [
        r["ruleId"] for r in run["results"]
    ]
    rule = next(rule for rule in rules if rule["id"] == "GC100")
    assert (rule["shortDescription"]["text"], rule["fullDescription"]["text"]) == ("A title.", "Two lines.")
    assert rule["help"]["text"] == texts["GC100"]
    hashes = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
    assert len(set(hashes)) == len(hashes)
    moved = replace(sourced, findings=tuple(replace(f, location=None, message="other") for f in sourced.findings))
    again = document(written, moved)
    assert hashes == [result["partialFingerprints"]["primaryLocationLineHash"] for result in again["results"]]


def test_levels_suppressions_and_refusals(report: Report, sourced: SpecReport, written: Written) -> None:
    run = document(written, sourced, report.specs[2])
    assert {r["level"] for r in run["results"]} == {"error", "warning", "note"}
    (excused,) = [r for r in run["results"] if "suppressions" in r]
    assert excused["suppressions"] == [{"kind": "inSource", "status": "accepted", "justification": "it is known"}]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [
        n["locations"][0]["physicalLocation"]["region"]["startLine"] for n in invocation["toolExecutionNotifications"]
    ] == [3, 9]
    assert document(written, report.specs[0])["invocations"][0]["executionSuccessful"] is True


def test_paths_are_relative_or_file_addresses(sourced: SpecReport, written: Written) -> None:
    for path, uri in (("/abs/x.py", "file:///abs/x.py"), ("./a/../b.py", "./a/../b.py")):
        finding = replace(sourced.findings[0], source=replace(HERE, path=path))
        run = document(written, replace(sourced, findings=(finding,)))
        places = [r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]]
        assert uri in places
    run = document(written, replace(sourced, path="-", findings=(replace(sourced.findings[-1], location=None),)))
    assert "stdin" in str(run["results"][0]["locations"])
