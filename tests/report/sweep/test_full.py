"""The picture says what the numbers say, in every width and encoding."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from gradcheck.report.sweep import full
from gradcheck.step_sweep import Slope, StepSweep

Drawn = Callable[..., str]
Snapshot = Callable[[str, str], None]


def test_a_sweep(sweep: StepSweep, drawn: Drawn, snapshot: Snapshot) -> None:
    text = drawn(full, sweep)
    assert max(map(len, text.splitlines())) <= 80
    snapshot("sweep.txt", text)


def test_a_sweep_in_trouble(troubled: StepSweep, drawn: Drawn, snapshot: Snapshot) -> None:
    snapshot("sweep_troubled.txt", drawn(full, troubled))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_plain_characters_where_the_encoding_has_no_others(
    encoding: str, sweep: StepSweep, troubled: StepSweep, drawn: Drawn, snapshot: Snapshot
) -> None:
    for one in (sweep, troubled):
        assert drawn(full, one, encoding).isascii()
    snapshot("sweep_ascii.txt", drawn(full, sweep, "ascii"))


@pytest.mark.parametrize("width", [20, 40, 66, 80, 100, 250])
def test_every_width(width: int, sweep: StepSweep, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = drawn(full, sweep)
    picture = [line for line in text.splitlines() if re.match(r"^(.{6} [┤│]|\s+└)", line)]
    assert 10 < len(picture) < 30
    assert max(map(len, picture)) <= max(40, min(100, width))
    if width >= 40:
        assert max(map(len, text.splitlines()[1:])) <= width  # the first line has a path, which is never wrapped


def test_each_point_stands_on_its_power_of_ten(sweep: StepSweep, drawn: Drawn) -> None:
    one = replace(sweep.points[10], step=1e-6, error=1e-4, kink=False)
    others = [replace(p, error=1e-9) for p in sweep.points]
    flat = replace(sweep, points=(*others, one), truncation=Slope(2), analytic=0.5)
    lines = drawn(full, flat).splitlines()
    (row,) = [line for line in lines if line.startswith(" 1e-04 ")]
    (steps,) = [line for line in lines if re.match(r"^\s+1e-1[0-9] .* 1e-0", line)]
    assert row.index("●") == steps.index("1e-06") + 2


def test_the_legend_explains_what_is_drawn_and_nothing_else(sweep: StepSweep, drawn: Drawn) -> None:
    text = drawn(full, sweep)
    for mark, meaning in (("●", "at one step"), ("▲", "met a kink"), ("/", "truncation, C h^2"), ("~", "|backward - ")):
        assert re.search(rf"^  {re.escape(mark)}  .*{re.escape(meaning)}", text, re.MULTILINE), mark
    assert "not finite" not in text
    smooth = replace(sweep, points=tuple(replace(p, kink=False) for p in sweep.points))
    assert "▲" not in drawn(full, smooth)


def test_no_line_of_truncation_where_its_slope_is_another(sweep: StepSweep, drawn: Drawn) -> None:
    odd = replace(sweep, truncation=replace(sweep.truncation, measured=0.2))
    text = drawn(full, odd)
    assert "/  truncation" not in text
    assert "It is flatter" in text
    steep = replace(sweep, truncation=replace(sweep.truncation, measured=4.0))
    assert "It is steeper" in drawn(full, steep)


def test_nothing_is_dropped(troubled: StepSweep, drawn: Drawn) -> None:
    text = " ".join(drawn(full, troubled).split())
    assert "exact 24 points of 105" in text
    assert "not finite 5 points of 105" in text
    assert "kinks 3 steps of 105 left the smooth piece of relu_1" in text
    assert re.search(r"^   nan ┤ +!+", drawn(full, troubled), re.MULTILINE)
    assert re.search(r"^     0 ┤ *●+", drawn(full, troubled), re.MULTILINE)


def test_colours_only_underline(sweep: StepSweep, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    full.write(sweep, "0.1.0", terminal)
    coloured = terminal.getvalue()
    assert "\x1b[1m●" in coloured
    strip = re.compile(r" +$", re.MULTILINE)
    assert strip.sub("", re.sub(r"\x1b\[[0-9;]*m", "", coloured)) == drawn(full, sweep)


def test_names_are_shown_as_they_are(sweep: StepSweep, drawn: Drawn) -> None:
    assert drawn(full, sweep).startswith("[/foo].weight[3, 5]  specs/[bold]net.yaml\n")
