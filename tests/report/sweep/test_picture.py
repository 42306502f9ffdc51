"""Axes: powers of ten stand on whole cells."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gradcheck.report.sweep._picture import Axis


@pytest.mark.parametrize("room", [10, 20, 57, 90])
@pytest.mark.parametrize(("low", "high"), [(-14.2, -1.1), (-301, -1), (-0.3, 0.2), (284, 298), (-320, 300)])
def test_every_power_of_ten_has_its_cell(low: float, high: float, room: int) -> None:
    values = [10.0**low, 10.0**high]
    axis = Axis.over(values, room)
    assert axis.size <= room
    assert 10**axis.low <= values[0] or axis.low < -307
    for cell, label in axis.labels(1).items():
        power = int(label.removeprefix("1e"))
        assert cell == (power - axis.low) * axis.cells / axis.stride
    assert all(0 <= axis.cell(value) < axis.size for value in values)
    middle = axis.size // 2
    assert axis.cell(axis.value(middle)) == middle


def test_labels_keep_their_distance() -> None:
    for high, room in ((-1, 57), (280, 71), (-1, 30)):
        cells = list(Axis.over([1e-14, 10.0**high], room).labels(8))
        assert cells
        assert all(b - a >= 8 for a, b in pairwise(cells))
