"""Matrices of the usual ways to enlarge or reduce a sequence or an image, axis by axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def matrices(outputs: int, inputs: int) -> Iterator[tuple[str, Array]]:
    """Name and matrix (outputs, inputs) of every way: the rows hold the shares of the inputs in one output.

    Output p lies at a place of the input: with corners aligned p (I - 1) / (O - 1), with half pixels
    (p + 1/2) I / O - 1/2, else p I / O. What lies there is the nearest input, the one before, or both neighbours.
    """
    p = np.arange(outputs)
    places = {
        "corners aligned": p * (inputs - 1) / max(outputs - 1, 1),
        "corners not aligned": (p + 0.5) * inputs / outputs - 0.5,
        "places p I / O": p * inputs / outputs,
    }
    for name, place in places.items():
        inside = np.clip(place, 0, inputs - 1)
        yield f"linear, {name}", np.maximum(0.0, 1 - np.abs(inside[:, None] - np.arange(inputs)))
        for how, index in (("nearest", np.floor(inside + 0.5)), ("the one before", np.floor(inside + 1e-9))):
            yield f"{how}, {name}", np.eye(inputs)[index.astype(int)]
