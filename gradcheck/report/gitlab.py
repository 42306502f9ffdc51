"""GitLab's code quality report: an array of what is to be shown in a merge request."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, TextIO

from gradcheck.findings import Report, fingerprint
from gradcheck.report._issues import Issue, issues

_SEVERITIES = {"error": "critical", "warning": "minor", "note": "info"}


def write(report: Report, stream: TextIO) -> None:
    """Write one JSON array and a newline."""
    seen: Counter[str] = Counter()
    entries = []
    for issue in issues(report):
        entries.append(_entry(issue, seen[issue.fingerprint]))
        seen[issue.fingerprint] += 1
    json.dump(entries, stream, indent=2)
    stream.write("\n")


def _entry(issue: Issue, before: int) -> dict[str, Any]:
    """`before`: how many with this fingerprint there were; no two may have the same."""
    return {
        "description": f"{issue.code} {issue.sentence}",
        "check_name": issue.name,
        "fingerprint": fingerprint(issue.fingerprint, str(before)) if before else issue.fingerprint,
        "severity": _SEVERITIES[issue.severity],
        "location": {"path": issue.place.path, "lines": {"begin": issue.place.line}},
    }
