"""SARIF 2.1.0, for code scanning: results at the `backward` of the user's layer, the line of the spec beside it.

A result of a layer that ships, of a loss or of data is at its line of the spec. What the spec's `ignore` or a baseline
excuses is there as suppressed. A spec that could not be run is a notification of the tool.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, TextIO
from urllib.parse import quote

from gradcheck.findings import Report, Source
from gradcheck.report._issues import INCONCLUSIVE, REFUSED, Issue, issues
from gradcheck.report._plain import plain

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_UNDECIDED = """Entries about which nothing could be concluded.

## What it is
The error bar of the numeric gradient is too wide to tell a right backward from a wrong one.

## How to repair
Check at another point (another seed, other inputs), in float64, or with another method.
"""


def write(report: Report, stream: TextIO) -> None:
    """Write one JSON document and a newline."""
    found = issues(report, excused=True)
    refused = [issue for issue in found if issue.code == REFUSED]
    results = [issue for issue in found if issue.code != REFUSED]
    codes = sorted({issue.code: issue.name for issue in results}.items())
    order = {code: place for place, (code, _) in enumerate(codes)}
    seen: Counter[str] = Counter()
    run = {
        "tool": {
            "driver": {
                "name": "gradcheck",
                "semanticVersion": report.version,
                "version": report.version,
                "rules": [_rule(code, name, report.texts.get(code, "")) for code, name in codes],
            }
        },
        "automationDetails": {"id": "gradcheck/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {"executionSuccessful": not refused, "toolExecutionNotifications": [_notification(i) for i in refused]}
        ],
        "results": [_result(issue, order, seen) for issue in results],
    }
    json.dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, stream, indent=2, allow_nan=False)
    stream.write("\n")


def _rule(code: str, name: str, text: str) -> dict[str, Any]:
    text = _UNDECIDED if code == INCONCLUSIVE else text
    title, _, body = (text or name.replace("-", " ").capitalize() + ".").partition("\n")
    what = re.search(r"## What it is\n(.*?)(?=\n\n|\n##|\Z)", body, re.DOTALL)
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": " ".join(what[1].split()) if what else title},
        "help": {"text": text or title, "markdown": text or title},
        "properties": {"tags": ["gradient", "correctness"], "alias": name},
    }


def _result(issue: Issue, order: dict[str, int], seen: Counter[str]) -> dict[str, Any]:
    seen[issue.fingerprint] += 1
    result: dict[str, Any] = {
        "ruleId": issue.code,
        "ruleIndex": order[issue.code],
        "level": issue.severity,
        "message": {"text": "\n".join([issue.sentence, *issue.text[1:]])},
        "locations": [_location(issue.place)],
        "partialFingerprints": {"primaryLocationLineHash": f"{issue.fingerprint}:{seen[issue.fingerprint]}"},
        "properties": _properties(issue),
    }
    if issue.place != issue.in_spec:
        result["relatedLocations"] = [
            {"id": 1, **_location(issue.in_spec), "message": {"text": "where the spec uses it"}}
        ]
    if issue.excused:
        who, _, why = issue.excused.partition(": ")
        kind = {"spec": "inSource"}.get(who, "external")
        result["suppressions"] = [{"kind": kind, "status": "accepted", "justification": why}]
    return result


def _properties(issue: Issue) -> dict[str, Any]:
    finding = issue.finding
    found = {"spec": issue.in_spec.path}
    if finding is None:
        return found
    entry = finding.evidence
    found |= {"layer": finding.layer} | ({"parameter": finding.parameter} if finding.parameter else {})
    numbers = {} if entry is None else {
        "index": entry.index, "analytic": entry.analytic, "numeric": entry.numeric, "errorBar": entry.error_bar,
    }  # fmt: skip
    values: dict[str, Any] = plain({**found, **numbers})
    return values


def _notification(issue: Issue) -> dict[str, Any]:
    return {"level": "error", "message": {"text": issue.text[0]}, "locations": [_location(issue.place)]}


def _location(place: Source) -> dict[str, Any]:
    region = {
        "startLine": place.line, "startColumn": place.column, "endLine": place.end_line, "endColumn": place.end_column,
    }  # fmt: skip
    path = f"file://{quote(place.path)}" if place.path.startswith("/") else quote(place.path)
    return {"physicalLocation": {"artifactLocation": {"uri": path}, "region": region}}
