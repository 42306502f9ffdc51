"""The machine-readable report, `schema_version` 1: every field, in a fixed order, and no bare NaN.

Non-finite numbers are the strings "nan", "inf" and "-inf". A field that does not apply is null. All characters beyond
ASCII are escaped, so that the bytes do not depend on the encoding of the terminal.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

from msgspec.structs import asdict

from gradcheck.findings import SCHEMA_VERSION, Counts, Finding, Report, Row, SpecReport
from gradcheck.report._plain import plain


def write(report: Report, stream: TextIO) -> None:
    """Write one JSON document and a newline."""
    json.dump(document(report), stream, indent=2, allow_nan=False)
    stream.write("\n")


def document(report: Report) -> dict[str, Any]:
    """The report as plain JSON values."""
    values: dict[str, Any] = plain(
        {
            "schema_version": SCHEMA_VERSION,
            "tool": {"name": "gradcheck", "version": report.version},
            "verdict": report.verdict,
            "specs": [_spec(spec) for spec in report.specs],
        }
    )
    return values


def _spec(spec: SpecReport) -> dict[str, Any]:
    return {
        "path": spec.path,
        "name": spec.name,
        "verdict": spec.verdict,
        "seed": spec.seed,
        "parameters": [_row(row) for row in spec.parameters],
        "inputs": [_row(row) for row in spec.inputs],
        "checks": [asdict(check) for check in spec.checks],
        "findings": [_finding(finding) for finding in spec.findings],
        "errors": [asdict(error) for error in spec.errors],
        "objective": spec.objective,
        "loss": spec.loss,
        "batch_size": spec.batch_size,
        "dtype": spec.dtype,
        "network": [asdict(layer) for layer in spec.network],
        "counts": _counts(spec.counts),
        "replay": spec.replay,
        "ignored": spec.ignored,
        "course": spec.course,
        "silenced": [
            {"by": each.by, "reason": each.reason, "finding": _finding(each.finding)} for each in spec.silenced
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {**asdict(row), "counts": _counts(row.counts)}


def _counts(counts: Counts) -> dict[str, int]:
    return {"pass": counts.passed, "fail": counts.fail, "inconclusive": counts.inconclusive, "kink": counts.kink}


def _finding(finding: Finding) -> dict[str, Any]:
    fields = {**asdict(finding), "name": finding.name}
    first = ("id", "code", "name", "severity", "layer", "parameter", "index", "location", "message")
    then = ("diagnosis", "consequence_of", "replay", "evidence", "entries", "picture", "source", "probed")
    return {name: fields[name] for name in (*first, *then)}
