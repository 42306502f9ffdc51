"""The sweep for people: the picture, its legend, and in sentences what was measured."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from gradcheck.report.sweep import _words as words
from gradcheck.report.sweep._picture import ASCII, UNICODE, Picture
from gradcheck.step_sweep import StepSweep

#: A wider picture shows nothing more, a narrower one nothing at all.
WIDEST, NARROWEST = 100, 40
_STYLES = {"point": "bold", "kink": "yellow", "lost": "red", "chosen": "green", "plateau": "green", "column": "green",
           "noise": "cyan", "truncation": "magenta", "analytic": "blue", "reference": "dim"}  # fmt: skip


def write(sweep: StepSweep, version: str, stream: TextIO) -> None:
    """Write the sweep, wrapped and coloured as this stream can bear."""
    console = _console(stream)
    with console.capture() as capture:
        _show(sweep, console)
    stream.writelines(line.rstrip() + "\n" for line in capture.get().splitlines())


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else int(os.environ.get("COLUMNS") or 80)
    # FORCE_COLOR is about the log that somebody looks at, not about files: those stay plain.
    coloured = None if stream is sys.stdout else False
    return Console(file=stream, width=width, force_terminal=coloured, highlight=False)


def _show(sweep: StepSweep, console: Console) -> None:
    marks = UNICODE if console.encoding.startswith("utf") else ASCII
    picture = Picture(sweep, max(NARROWEST, min(WIDEST, console.width)), marks)
    _line(console, Text(words.subject(sweep), "bold").append(f"  {sweep.path}", "not bold"))
    console.print(Text(words.heading(sweep)))
    console.print()
    _line(console, Text("|D(h) - reference|"))
    styles = {getattr(marks, kind): style for kind, style in _STYLES.items()}
    for line in picture.lines():
        _line(console, _coloured(line, picture.margin, styles))
    _line(console, Text("step h".rjust(picture.margin + 1 + picture.x.size)))
    console.print()
    for mark, meaning in words.legend(sweep, {kind: getattr(marks, kind) for kind in picture.shown}):
        console.print(Padding(Text(mark, styles[mark]).append(f"  {meaning}", "not bold default"), (0, 0, 0, 2)))
    console.print()
    grid = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for label, text in words.paragraphs(sweep):
        grid.add_row(Text(label, "bold"), Text(text))
    console.print(grid)


def _line(console: Console, text: Text) -> None:
    """One line that is never wrapped."""
    console.print(text, soft_wrap=True)


def _coloured(line: str, margin: int, styles: dict[str, str]) -> Text:
    """The characters of the picture in their colours; the labels before it as they are."""
    text = Text(line[:margin])
    for character in line[margin:]:
        text.append(character, styles.get(character, ""))
    return text
