"""Where an index occurs more than once, its gradients are not added up.

## What it is
e lives exactly at the entries that several outputs have been copied from: a is what the last of them gives
(overwritten), the first, or their mean (averaged), instead of their sum.

## Why it is bad
Frequent words, shared nodes and repeated places learn from one of their uses.

## Typical causes
`dW[ids] = dy` or `dW[ids] += dy`: with repeated ids numpy keeps the last. A mean over uses.

## How to repair
`np.add.at(dW, ids, dy)`, or a product with a one-hot matrix.

## How to silence
`--ignore GC111`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._paths import chosen, copies, mixed, uses
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._windows import has_windows
from gradcheck.suspect import Suspect

CODE = "GC111"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """The last use, the first, or the mean of all."""
    small = suspect.small
    if has_windows(suspect) or not copies(small) or not mixed(small):
        return
    for gives, does, count in uses(small):
        mean = gives.reshape(-1, gives.shape[-1]).sum(axis=0) / np.maximum(count, 1)
        for which, values in [*chosen(gives, does), ("mean", mean)]:
            how = "their mean" if which == "mean" else f"the {which} of them"
            yield Prediction(
                small.unflat(values),
                f"a = {which}(uses), not Σ(uses)",
                f"{suspect.what} is wrong exactly where an entry is used more than once: it is {how}, not their sum",
                "`dW[index] = dy` or `+=`: np.add.at adds repeated indices up",
                small,
            )


ASKED = ((45, predict),)
