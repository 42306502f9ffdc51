"""One line for each thing to act on."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from gradcheck.findings import Report, SpecReport
from gradcheck.report import concise

Written = Callable[..., str]


def test_all_verdicts(report: Report, written: Written, snapshot: Callable[[str, str], None]) -> None:
    snapshot("concise.txt", written(concise, report))


def test_lines_begin_with_a_place_and_the_total_is_last(report: Report, written: Written) -> None:
    *lines, total = written(concise, report).splitlines()
    assert all(
        re.match(r"specs/[^:]+\.yaml(:\d+:\d+)?: (error|warning|note|inconclusive|refused)", line) for line in lines
    )
    assert total.startswith("3 specs: 1 pass, 1 fail, 1 refused. 416 entries checked")


def test_a_passing_run_says_only_the_total(passing: SpecReport, written: Written) -> None:
    expected = "1 spec: 1 pass. 208 entries checked: 208 pass, 0 fail, 0 inconclusive, 0 kink.\n"
    assert written(concise, Report("0.1.0", (passing,))) == expected


def test_a_message_of_several_lines_stays_on_one(failing: SpecReport, written: Written) -> None:
    finding = replace(failing.findings[4], message="first line\n  second\tline")
    text = written(concise, Report("0.1.0", (replace(failing, findings=(finding,), parameters=(), inputs=()),)))
    assert text.splitlines()[0].endswith("loss: first line second line")
