"""Streams: characters that are missing, documents without noise, and the bar."""

from __future__ import annotations

import io
import sys

import pytest

from gradcheck._cli_streams import SPELLED, Progress, say, to_stdout


@pytest.mark.parametrize(
    ("encoding", "text", "spelled"),
    [
        ("utf-8", "dW = Σ xᵀ dy × 2", "dW = Σ xᵀ dy × 2"),
        ("ascii", "dW = Σ xᵀ dy × 2", "dW = sum  x^T dy x 2"),
        ("cp1252", "Σ xᵀ × ±1", "sum  x^T × ±1"),
        ("ascii", "naïve 層", r"na\xefve \u5c64"),
        ("utf-8", "bad\udcff", r"bad\udcff"),
    ],
)
def test_missing_characters_are_spelled(encoding: str, text: str, spelled: str) -> None:
    assert text.encode(encoding, SPELLED).decode(encoding) == spelled


class Terminal(io.StringIO):
    def __init__(self, interactive: bool) -> None:
        super().__init__()
        self._interactive = interactive

    def isatty(self) -> bool:
        return self._interactive


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watch(monkeypatch: pytest.MonkeyPatch, clock: Clock, interactive: bool = True, term: str = "xterm") -> io.StringIO:
    terminal = Terminal(interactive)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")
    progress = Progress(clock)
    progress(1, 100, "head.weight")
    clock.now = 1.5
    progress(50, 100, "head.weight")
    progress(51, 100, "head.weight")  # a moment later: not drawn
    clock.now = 1.7
    progress(60, 100, "b")
    progress.clear()
    return terminal


def test_the_bar_comes_after_a_second_and_goes(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    first = "[############............] 50 of 100 entries  33/s, 2 s left  head.weight"
    second = "[##############..........] 60 of 100 entries  35/s, 1 s left  b"
    shown = watch(monkeypatch, clock).getvalue()
    assert shown == f"\r{first}\r{second.ljust(len(first))}\r{' ' * len(second)}\r"


@pytest.mark.parametrize(
    ("total", "said"),
    [
        (1_000, "500/s, 1 s left"),
        (30_000, "500/s, 59 s left"),
        (93_000, "500/s, 3:05 min left"),
        (3_901_000, "500/s, 2:10 h left"),
    ],
)
def test_how_long_it_takes_still(total: int, said: str, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = Terminal(interactive=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(clock)
    progress(0, total, "")
    clock.now = 1.0
    progress(500, total, "")
    assert terminal.getvalue().endswith(f" of {total:,} entries  {said}")


def test_no_speed_is_said_before_anything_is_done(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = Terminal(interactive=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(clock)
    progress(7, 10, "")
    clock.now = 2.0
    progress(7, 10, "w")
    assert terminal.getvalue().endswith("7 of 10 entries  w")
    progress(0, 10, "the next spec starts anew")
    clock.now = 3.0
    progress(5, 10, "")
    assert terminal.getvalue().rstrip().endswith("5 of 10 entries  5/s, 1 s left")


@pytest.mark.parametrize(("interactive", "term"), [(False, "xterm"), (True, "dumb")])
def test_elsewhere_there_is_no_bar(monkeypatch: pytest.MonkeyPatch, clock: Clock, interactive: bool, term: str) -> None:
    assert watch(monkeypatch, clock, interactive, term).getvalue() == ""


def test_a_closed_stderr_and_stdout_are_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    say("unheard")
    to_stdout(lambda stream: stream.write("unread"))
    Progress()(1, 2, "x")
