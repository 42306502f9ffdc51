"""Arrays that are drawn: one row for each fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Array = NDArray[Any]
Draw = Callable[[np.random.Generator, tuple[int, ...], float, float], Array]


class Fill(Struct, frozen=True):
    """How a fill draws an array of a shape, and which options go with it."""

    draw: Draw
    options: tuple[str, ...]


def _probabilities(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Positive, with the sum 1 along the last axis; no entry is more than ten times another."""
    weights = rng.uniform(0.1, 1, shape)
    probabilities: Array = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def _integers(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Array:
    return rng.integers(int(low), int(high), shape)


FILLS: dict[str, Fill] = {
    "normal": Fill(lambda rng, shape, low, high: rng.standard_normal(shape), ("scale",)),
    "uniform": Fill(lambda rng, shape, low, high: rng.uniform(low, high, shape), ("scale", "low", "high")),
    "zeros": Fill(lambda rng, shape, low, high: np.zeros(shape), ("scale",)),
    "ones": Fill(lambda rng, shape, low, high: np.ones(shape), ("scale",)),
    "integers": Fill(_integers, ("low", "high")),
    "binary": Fill(lambda rng, shape, low, high: rng.integers(0, 2, shape), ()),
    "probabilities": Fill(_probabilities, ()),
}

#: What goes with each source of an array; `shape` stands for the arrays that are drawn.
SOURCES: dict[str, tuple[str, ...]] = {
    "classes": ("shape", "classes"),
    "values": ("values", "shape", "scale", "dtype"),
    "file": ("file", "key", "shape", "scale", "dtype"),
    "shape": ("shape", "fill", "scale", "low", "high", "dtype"),
}
#: What goes with every source.
ALWAYS = ("layout", "per_sample")
