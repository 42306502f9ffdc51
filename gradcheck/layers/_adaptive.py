"""The parts of an image that make a given number of rows and columns."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gradcheck.layers._base import Shape
from gradcheck.layers._windows import Count

#: Rows and columns of the output: one number for both, or two of which one may be that of the input.
PairOrSame = Count | Annotated[tuple[Count | None, ...], Meta(min_length=2, max_length=2)]


def sizes(output_size: int | tuple[int | None, ...], x_shape: Shape) -> tuple[int, int]:
    """Rows and columns of the output for images x."""
    rows, columns = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    return rows or x_shape[2], columns or x_shape[3]


def parts(size: int, count: int) -> list[tuple[int, int]]:
    """Where each of `count` parts of `size` rows begins, and where it ends."""
    return [(part * size // count, -(-(part + 1) * size // count)) for part in range(count)]
