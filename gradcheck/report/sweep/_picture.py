"""Error against step, both logarithmic, in characters.

A decade is a whole number of rows and columns (or a row and column a whole number of decades), so that every power of
ten stands exactly on its label. Where several things fall on one character the one that says most is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from msgspec import Struct

from gradcheck.step_sweep import StepPoint, StepSweep

ROWS = 20
#: Columns between the labels of the horizontal axis.
_APART = 8
#: A shorter axis would make much of little.
_LEAST_DECADES = 4
#: Decades between labels, or in a cell.
_ROUND = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Marks(Struct, frozen=True):
    """The characters of a picture. Slopes look alike in both sets: \\ falls to the right and / rises."""

    point: str
    kink: str
    lost: str
    chosen: str
    across: str
    column: str
    plateau: str
    tick: str
    side: str
    corner: str
    floor: str
    foot: str
    noise: str = "\\"
    truncation: str = "/"
    analytic: str = "~"
    reference: str = "."


UNICODE = Marks("●", "▲", "!", "◆", "┼", "┊", "━", "┤", "│", "└", "─", "┬")
ASCII = Marks("o", "k", "!", "#", "+", ":", "=", "+", "|", "+", "-", "+")


class Axis(Struct, frozen=True):
    """A logarithmic axis from 10^low to 10^high: every `stride` decades take so many `cells`."""

    low: int
    high: int
    cells: int
    stride: int

    @classmethod
    def over(cls, values: Iterable[float], room: int) -> Axis:
        """The axis that shows all of these positive numbers in at most so many cells."""
        logs = [math.log10(value) for value in values]
        low, high = math.floor(min(logs)), math.ceil(max(logs))
        low = min(low, high - _LEAST_DECADES)
        stride = next(n for n in _ROUND if math.ceil(high / n) - math.floor(low / n) < room)
        low, high = stride * math.floor(low / stride), stride * math.ceil(high / stride)
        return cls(low, high, (room - 1) // ((high - low) // stride), stride)

    @property
    def size(self) -> int:
        """Cells, both ends included."""
        return (self.high - self.low) // self.stride * self.cells + 1

    def cell(self, value: float) -> int:
        """Where a positive number is; outside of 0 to size - 1 if it is not on the axis."""
        return math.floor((math.log10(value) - self.low) / self.stride * self.cells + 0.5)

    def value(self, cell: int) -> float:
        """The number in the middle of a cell."""
        return float(10.0 ** (self.low + cell / self.cells * self.stride))

    def labels(self, apart: int) -> dict[int, str]:
        """Cell -> power of ten, at least so many cells apart."""
        every = next(n for n in _ROUND if n % self.stride == 0 and n // self.stride * self.cells >= apart)
        powers = range(every * math.ceil(self.low / every), self.high + 1, every)
        return {(power - self.low) // self.stride * self.cells: f"1e{power:+03d}" for power in powers}


class Picture:
    """The sweep on a grid of characters; `marks` are those that occur in it."""

    def __init__(self, sweep: StepSweep, width: int, marks: Marks) -> None:
        self.sweep, self.marks, self.shown = sweep, marks, dict[str, None]()
        self.margin = 7
        finite = [p for p in sweep.points if math.isfinite(p.error)]
        self.zeros = [p for p in finite if p.error == 0]
        self.drawn = [p for p in finite if p.error > 0]
        self.lost = [p for p in sweep.points if not math.isfinite(p.error)]
        self.x = Axis.over([p.step for p in sweep.points], width - self.margin - 3)
        self.y = Axis.over(self._heights(), ROWS)
        self.cells: dict[tuple[int, int], str] = {}
        self._draw()

    def _heights(self) -> list[float]:
        """What decides how high the picture is: the errors, and what they are to be compared with."""
        errors = [p.error for p in self.drawn] or [p.noise for p in self.sweep.points if p.noise > 0] or [1.0]
        apart = abs(self.sweep.analytic - self.sweep.reference.value)
        return [*errors, apart] if math.isfinite(apart) and apart > min(errors) else errors

    def _draw(self) -> None:
        """What is drawn later covers what was drawn before."""
        for column in range(self.x.size):
            step = self.x.value(column)
            self._level(column, self._bound(step), "noise")
            self._level(column, self._line(step), "truncation")
            self._level(column, self.sweep.reference.error, "reference")
            self._level(column, abs(self.sweep.analytic - self.sweep.reference.value), "analytic")
        chosen = self.x.cell(self.sweep.choice.step)
        for row in range(self.y.size):
            if (row, chosen) not in self.cells:
                self._put(row, chosen, "column")
        for kind, points in (("point", [p for p in self.drawn if not p.kink]), ("kink", self.drawn)):
            for p in points:
                if kind == "point" or p.kink:
                    self._put(self.y.cell(p.error), self.x.cell(p.step), kind)

    def _bound(self, step: float) -> float:
        nearest = min(self.sweep.points, key=lambda p: abs(math.log(p.step / step)))
        return nearest.noise * nearest.step / step

    def _line(self, step: float) -> float:
        slope = self.sweep.truncation
        return slope.constant * step**slope.expected if slope.as_expected else 0.0

    def _level(self, column: int, height: float, kind: str) -> None:
        if height > 0 and math.isfinite(height):
            self._put(self.y.cell(height), column, kind)

    def _put(self, row: int, column: int, kind: str) -> None:
        if 0 <= row < self.y.size and 0 <= column < self.x.size:
            self.cells[row, column] = getattr(self.marks, kind)
            self.shown[kind] = None

    def lines(self) -> Iterator[str]:
        """The picture from top to bottom, the axes included."""
        labels = self.y.labels(2)
        if self.lost:
            yield self._aside("nan", self.lost, "lost")
        for row in reversed(range(self.y.size)):
            label = labels.get(row, "")
            edge = self.marks.tick if label else self.marks.side
            body = "".join(self.cells.get((row, column), " ") for column in range(self.x.size))
            yield f"{label:>{self.margin - 1}} {edge}{body}".rstrip()
        if self.zeros:
            yield self._aside("0", self.zeros, "")
        yield self._base()
        yield self._steps()

    def _aside(self, label: str, points: list[StepPoint], kind: str) -> str:
        """A row outside the scale: errors that are exactly 0, or no numbers."""
        body = [" "] * self.x.size
        for p in sorted(points, key=lambda p: p.kink):
            what = kind or ("kink" if p.kink else "point")
            body[self.x.cell(p.step)] = getattr(self.marks, what)
            self.shown[what] = None
        return f"{label:>{self.margin - 1}} {self.marks.tick}{''.join(body)}".rstrip()

    def _base(self) -> str:
        body = [self.marks.floor] * self.x.size
        for column in self.x.labels(_APART):
            body[column] = self.marks.foot
        if self.sweep.plateau:
            first, last = map(self.x.cell, self.sweep.plateau)
            body[first : last + 1] = [self.marks.plateau] * (last + 1 - first)
            self.shown["plateau"] = None
        chosen = self.x.cell(self.sweep.choice.step)
        if 0 <= chosen < self.x.size:
            body[chosen] = self.marks.chosen
            self.shown["chosen"] = None
        return " " * self.margin + self.marks.corner + "".join(body)

    def _steps(self) -> str:
        line = [" "] * (self.margin + 1 + self.x.size + 4)
        for column, label in self.x.labels(_APART).items():
            start = self.margin + 1 + column - 2
            line[start : start + len(label)] = label
        return "".join(line).rstrip()
