"""The report for people, on every kind of stream."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from gradcheck.findings import Counts, Finding, Report, SpecReport
from gradcheck.report import full

Written = Callable[..., str]
Snapshot = Callable[[str, str], None]


def of(*specs: SpecReport) -> Report:
    return Report("0.1.0", specs)


def test_one_passing_spec(passing: SpecReport, written: Written, snapshot: Snapshot) -> None:
    snapshot("full_passing.txt", written(full, of(passing)))


def test_several_specs(report: Report, written: Written, snapshot: Snapshot) -> None:
    text = written(full, report)
    assert max(map(len, text.splitlines())) <= 82  # the command that repeats an entry is never wrapped
    snapshot("full_several.txt", text)


def test_forty_columns(
    failing: SpecReport, written: Written, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = written(full, of(failing))
    snapshot("full_40_columns.txt", text)
    assert all("e-1…" not in line for line in text.splitlines())


@pytest.mark.parametrize("width", [20, 30, 50, 60, 72, 80, 100, 200])
def test_numbers_and_verdicts_stay_whole(
    width: int, failing: SpecReport, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    words = re.split(r"[\s,:]+", written(full, of(failing)))
    assert {"1.3e-12", "0.52", "inconclusive", "fail", "(60)"} <= set(words)
    assert "…" not in "".join(words)


def test_long_names_fold_and_numbers_and_verdicts_do_not(failing: SpecReport, written: Written) -> None:
    name = "encoder_block_with_a_rather_long_name.attention_weight"
    row = replace(failing.inputs[0], name=name, shape=(32, 5, 7))
    text = written(full, of(replace(failing, inputs=(row,))))
    table = text.split("gradient of")[1].split("Numeric gradient")[0]
    first = next(line for line in table.splitlines() if "(32, 5, 7)" in line)
    folded = [line for line in table.split(first)[1].splitlines() if not re.search(r"\s", line)]
    assert first.split()[1:] == ["(32,", "5,", "7)", "160", "0.001", "0.01", "0", "inconclusive", "(60)"]
    assert "".join([first.split()[0], *folded]) == name


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_stream_without_box_characters(encoding: str, report: Report, written: Written, snapshot: Snapshot) -> None:
    text = written(full, report, encoding)
    assert "─" not in text
    if encoding == "ascii":
        snapshot("full_ascii.txt", text)


def test_colours_only_underline_the_words(report: Report, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    full.write(report, terminal)
    coloured = terminal.getvalue()
    assert "\x1b[1;31mfail\x1b[0m" in coloured
    # Spaces before a colour code are the only thing that the plain text has not.
    strip = re.compile(r" +$", re.MULTILINE)
    assert strip.sub("", re.sub(r"\x1b\[[0-9;]*m", "", coloured)) == written(full, report)


def test_no_color_wins(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    full.write(report, stream)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", stream.getvalue())


def test_a_file_stays_plain(report: Report, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = written(full, report)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert written(full, report) == plain


def test_names_are_shown_as_they_are(failing: SpecReport, written: Written) -> None:
    text = written(full, of(failing))
    assert "specs/wrong/[bold]sign.yaml:14:5" in text
    assert "[/foo].weight[3, 5]" in text


def test_only_the_first_findings_are_shown(failing: SpecReport, written: Written) -> None:
    many = tuple(Finding(f"n{i}", "GC601", "note", f"layer_{i}", "Nothing.", f"layer_{i}.weight") for i in range(25))
    text = written(full, of(replace(failing, findings=many)))
    assert text.count("note GC601") == full.MOST_FINDINGS
    assert "15 findings more" in text


def test_counts_add_up(failing: SpecReport, written: Written) -> None:
    text = " ".join(written(full, of(failing)).split())
    assert failing.counts == Counts(136, 10, 61, 1)
    assert "208 entries checked: 136 pass, 10 fail, 61 inconclusive, 1 kink. Seed 11." in text


def test_a_consequence_is_shown_under_its_cause_only(failing: SpecReport, written: Written) -> None:
    text = written(full, of(failing))
    assert "It follows" not in text
    assert "Wrong only because of this: input." in text


def test_a_layer_that_raised_before_anything_was_compared(written: Written) -> None:
    finding = Finding("f1", "GC901", "error", "my_layer", "my_layer: forward raised ValueError: no", replay="gradcheck")
    text = written(full, of(SpecReport("a.yaml", "a", "fail", 7, findings=(finding,))))
    assert "No entry was compared. Guilty: layer my_layer (GC901 layer-raised)." in text
    assert "samples" not in text


def test_numbers_that_agree_in_six_digits_are_told_apart(failing: SpecReport, written: Written) -> None:
    finding = failing.findings[1]
    assert finding.evidence is not None
    near = replace(finding, evidence=replace(finding.evidence, analytic=1.0000000012, numeric=1.0))
    text = written(full, of(replace(failing, findings=(near,))))
    assert "1.000000001\n" in text
