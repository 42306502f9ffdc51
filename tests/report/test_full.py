"""The report for people, on every kind of stream."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from gradcheck.findings import Counts, Finding, LayerRow, Report, Row, Silenced, Source, SpecReport
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


def test_a_mistake_with_a_name_and_one_without(diagnosed: SpecReport, written: Written, snapshot: Snapshot) -> None:
    text = written(full, of(diagnosed))
    snapshot("full_diagnosed.txt", text[text.index("error GC100") : text.index("fail: Of")])


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


def paragraph(text: str, start: str) -> str:
    """The sentence that starts so, on one line."""
    said = " ".join(text.split())
    return said[said.index(start) :].split(". ")[0] + "."


def test_smallest_mistake_that_could_have_been_seen_in_each_tensor(passing: SpecReport, written: Written) -> None:
    start = "Smallest relative mistake that could have been seen:"
    assert paragraph(written(full, of(passing)), start) == f"{start} 1e-09 in every tensor."
    weight, bias = passing.parameters
    rows = (replace(weight, detectable=1.1e-14), replace(bias, detectable=None, untested=8))
    text = written(full, of(replace(passing, parameters=rows)))
    assert paragraph(text, start) == f"{start} 1e-13 in linear_1.weight; 1e-09 in input; none in linear_1.bias."
    many = tuple(replace(weight, name=f"linear_{k}.weight", detectable=0.3) for k in range(30))
    text = written(full, of(replace(passing, parameters=many)))
    assert all(row.name in paragraph(text, start).split("; 1 in ")[1] for row in many)
    unknown = replace(passing, parameters=(), inputs=(replace(weight, detectable=None),))
    assert start not in written(full, of(unknown))
    exact = replace(passing, parameters=(), inputs=(replace(weight, detectable=0.0),))
    assert paragraph(written(full, of(exact)), start) == f"{start} 0 in linear_1.weight."


def test_entries_where_nothing_was_tested_are_counted(passing: SpecReport, written: Written) -> None:
    weight, bias = passing.parameters
    assert "entries pass with a gradient of zero" not in " ".join(written(full, of(passing)).split())
    rows = (replace(weight, untested=5), replace(bias, untested=8))
    text = written(full, of(replace(passing, parameters=rows)))
    assert paragraph(text, "13 entries pass") == (
        "13 entries pass with a gradient of zero within its error bar, where no relative mistake could have been seen: "
        "5 of 40 in linear_1.weight and all 8 of linear_1.bias."
    )
    single = written(full, of(replace(passing, parameters=(replace(weight, untested=1), bias))))
    assert paragraph(single, "1 entry passes").endswith("seen: 1 of 40 in linear_1.weight.")
    everything = tuple(replace(row, untested=row.checked) for row in passing.rows)
    text = written(full, of(replace(passing, parameters=everything[:2], inputs=everything[2:])))
    assert "Nothing was tested: every gradient is zero within its error bar." in text


def test_one_example_of_each_layer_with_kinks_and_three_at_most(failing: SpecReport, written: Written) -> None:
    kink = failing.parameters[0].kinks[0]
    kinks = tuple(replace(kink, layer=f"relu_{k // 2}", output=f"relu_{k // 2}", index=(0, k)) for k in range(10))
    first, *others = failing.parameters
    text = " ".join(written(full, of(replace(failing, parameters=(replace(first, kinks=kinks), *others)))).split())
    assert re.findall(r"weight\[0, (\d)\] moved by .*?: (relu_\d)\[4, 7\] sees", text) == [
        ("0", "relu_0"), ("2", "relu_1"), ("4", "relu_2"),
    ]  # fmt: skip


def test_kinks_that_cannot_be_told_are_only_counted(failing: SpecReport, written: Written) -> None:
    first, *others = failing.parameters
    text = written(full, of(replace(failing, parameters=(replace(first, kinks=()), *others))))
    assert "slopes allowed.\n" in text
    assert "For example" not in text


def test_frozen_and_shared_parameters_and_an_objective_to_be_maximized(passing: SpecReport, written: Written) -> None:
    weight = passing.parameters[0]
    uses = ("tower_1.linear_1.weight", "other.linear_1.weight")
    spec = replace(
        passing,
        objective="maximize",
        parameters=(
            replace(weight, name="tower.linear_1.weight", uses=uses),
            replace(weight, name="embedding.weight", uses=("embedding.weight", "head.weight (transposed)")),
            Row("code.weight", (5, 8), 40, 0, "not_applicable", reason="frozen: a constant", frozen=True),
        ),
        network=(*passing.network, LayerRow("other", "linear", "", ((32, 8),), 8, 40)),
    )
    text = " ".join(written(full, of(spec)).split())
    assert "it is to be maximized: gradients are those of the loss, and a step goes along them" in text
    assert "code.weight (5, 8) 0 of 40 - - - frozen" in text
    assert "Not checked (code.weight): frozen: a constant." in text
    assert "tower stands in 2 places (tower_1 and other): the gradient of each of its parameters is the sum." in text
    assert (
        "embedding.weight stands in 2 places, and its gradient is the sum: embedding.weight and head.weight (t" in text
    )
    assert "other linear (32, 8) 8 + 40 shared" in text
    assert "Every entry agrees" in text
    assert "maximized" not in written(full, of(passing))


def test_only_failures_begins_with_the_worst_finding(
    report: Report, passing: SpecReport, written: Written, snapshot: Snapshot
) -> None:
    text = written(full, replace(report, only_failures=True))
    snapshot("full_only_failures.txt", text)
    assert "specs/mlp.yaml" not in text
    assert text.index("error GC115") < text.index("gradient of")
    said = written(full, replace(of(passing), only_failures=True))
    assert said.startswith("pass: 1 spec: 1 pass. 208 entries checked")
    assert "gradient of" not in said


def test_excused_findings_are_named(failing: SpecReport, written: Written) -> None:
    silenced = tuple(Silenced(found, "spec", "it is known") for found in failing.findings[1:3])
    text = written(full, of(replace(failing, findings=(), silenced=silenced)))
    sentence = "GC100 unexplained-mismatch at [/foo].weight (and 1 gradient wrong only because of it), by the spec:"
    assert f"{sentence} it is known" in " ".join(text.split())
    assert "1 finding is excused." in " ".join(text.split())


def test_the_place_of_the_backward_is_named(failing: SpecReport, written: Written) -> None:
    finding = replace(failing.findings[1], source=Source("layers/mine.py", 19, 5, 19, 35))
    assert "\n  backward: layers/mine.py:19\n" in written(full, of(replace(failing, findings=(finding,))))
