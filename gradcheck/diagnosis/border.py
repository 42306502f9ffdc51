"""The gradient is wrong at the border of an image or sequence.

## What it is
e lives at the first or last places of a spatial axis, and everything inside is right: at padding, at the remainder that
no whole window covers, at the end of a slice.

## Why it is bad
It is right without padding and where the stride divides the size, where most tests are made.

## Typical causes
Padding cut off on one side only, or at the wrong end; `range` that stops one window early; a remainder taken for a
window; a floor where forward has a ceiling.

## How to repair
Test with (H + 2p - d (k - 1) - 1) mod s ≠ 0 and with padding, height and width different.

## How to silence
`--ignore GC113`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._windows import has_windows
from gradcheck.suspect import Suspect

CODE = "GC113"
_LOOK = "padding, the end of a range or slice, the remainder that no whole window covers"


def zeros(suspect: Suspect) -> Iterator[Prediction]:
    """n inside, 0 at the border."""
    if not suspect.a[suspect.wrong].any():
        yield from predict(suspect)


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n inside, and what backward says at the border."""
    wrong = suspect.wrong
    if not has_windows(suspect) or suspect.is_parameter or wrong.ndim < 3 or not wrong.any():
        return
    inside = suspect.clear & ~wrong
    spatial = [k for k in range(1, wrong.ndim) if k >= wrong.ndim - 2] if wrong.ndim > 3 else [1, 2]
    margins = []
    core = np.ones(wrong.shape, dtype=bool)
    for axis in spatial:
        others = tuple(k for k in range(wrong.ndim) if k != axis)
        clean = np.flatnonzero(~wrong.any(axis=others))
        length = wrong.shape[axis]
        if clean.size == 0 or clean.size == length:
            continue
        first, last = int(clean[0]), length - 1 - int(clean[-1])
        if np.any(np.diff(clean) > 1) or first + last > length // 2:
            continue
        margins.append(f"axis {axis}: {first} at the start, {last} at the end")
    if not margins:
        margins, core = _frame(wrong, spatial)
        if not margins:
            return
    if not (inside & core).any():
        return
    yield Prediction(
        np.where(wrong, suspect.a, suspect.n),
        "a = n inside, not at the border",
        f"{suspect.what} is wrong at the border alone ({'; '.join(margins)}), and right inside",
        _LOOK,
        fixed=True,
    )


def _frame(wrong: np.ndarray, spatial: list[int]) -> tuple[list[str], np.ndarray]:
    """A frame around all spatial axes that holds every wrong entry, at most a third of the shorter side wide."""
    shortest = min(wrong.shape[k] for k in spatial)
    for width in range(1, shortest // 3 + 1):
        inner = [slice(None)] * wrong.ndim
        for axis in spatial:
            inner[axis] = slice(width, wrong.shape[axis] - width)
        if not wrong[tuple(inner)].any():
            core = np.zeros(wrong.shape, dtype=bool)
            core[tuple(inner)] = True
            return [f"a frame of {width}"], core
    return [], np.ones(wrong.shape, dtype=bool)


ASKED = ((47, zeros), (101, predict))
