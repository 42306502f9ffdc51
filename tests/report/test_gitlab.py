"""GitLab's code quality report."""

from __future__ import annotations

import json
from collections.abc import Callable

from msgspec.structs import replace

from gradcheck.findings import Report, Source, SpecReport
from gradcheck.report import gitlab

Written = Callable[..., str]


def test_all_verdicts(report: Report, written: Written, snapshot: Callable[[str, str], None]) -> None:
    snapshot("gitlab.json", written(gitlab, report))


def test_every_entry_has_what_gitlab_reads(report: Report, written: Written) -> None:
    entries = json.loads(written(gitlab, report, "ascii"))
    assert entries
    for entry in entries:
        assert list(entry) == ["description", "check_name", "fingerprint", "severity", "location"]
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert isinstance(entry["location"]["lines"]["begin"], int)
        assert not entry["location"]["path"].startswith(("/", "./"))
        assert "\n" not in entry["description"]
    fingerprints = [entry["fingerprint"] for entry in entries]
    assert len(set(fingerprints)) == len(fingerprints)


def test_no_two_have_the_same_fingerprint(failing: SpecReport, written: Written) -> None:
    finding = replace(failing.findings[4], source=Source("x.py", 7, 1, 7, 9))
    spec = replace(failing, findings=(finding, replace(finding, id="f9")), parameters=(), inputs=())
    one, other = json.loads(written(gitlab, Report("0.1.0", (spec,))))
    assert one["location"] == other["location"] == {"path": "x.py", "lines": {"begin": 7}}
    assert one["fingerprint"] != other["fingerprint"]


def test_a_passing_run_is_an_empty_array(passing: SpecReport, written: Written) -> None:
    assert written(gitlab, Report("0.1.0", (passing,))) == "[]\n"
