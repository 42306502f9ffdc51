"""Where windows overlap, the gradient is wrong.

## What it is
e lives exactly at the entries that several windows share: only one window's share is kept (overwritten), or every share
is counted once more for each window (a/n is the coverage).

## Why it is bad
It is right for a stride equal to the kernel, where most tests are made, and wrong for every other.

## Typical causes
`dx[window] = ...` for `+=`; a sum that is already complete, added up window by window.

## How to repair
Start with zeros, go through the windows, and add each one's share once.

## How to silence
`--ignore GC112`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._paths import chosen, uses
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._windows import has_windows
from gradcheck.suspect import Suspect

CODE = "GC112"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """One window's share; the sum, times or divided by the coverage."""
    small = suspect.small
    if not has_windows(suspect) or suspect.is_parameter:
        return
    what = f"{suspect.what} is wrong exactly where windows overlap"
    for gives, does, count in uses(small):
        if not (count > 1).any():
            continue
        total = gives.reshape(-1, gives.shape[-1]).sum(axis=0)
        for which, values in chosen(gives, does):
            yield Prediction(
                small.unflat(values),
                f"a = {which}(shares), not Σ(shares)",
                f"{what}: it is the share of the {which} window, not the sum of all",
                "`dx[window] = ...` where `+=` is meant",
                small,
            )
        yield Prediction(
            small.unflat(total * count),
            "a = coverage × n",
            f"{what}: the sum is counted again for every window that covers the entry",
            "a sum over windows that is added up twice",
            small,
        )
        yield Prediction(
            small.unflat(total / np.maximum(count, 1)),
            "a = n / coverage",
            f"{what}: the shares are averaged, not added up",
            "a division by the coverage",
            small,
        )


ASKED = ((46, predict),)
