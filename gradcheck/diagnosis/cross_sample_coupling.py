"""Samples are coupled in backward that are not in forward, or the reverse.

## What it is
The analytic Jacobian has a block (output of sample i, input of sample j) that the numeric one has not; or forward
couples the samples (a batch norm) and backward treats each by itself.

## Why it is bad
The gradient of a sample depends on which others happen to be in its batch.

## Typical causes
A sum or mean over axis 0 that is meant for the features; a softmax's inner product taken along the batch; `roll` or an
index that runs over the wrong axis. The reverse: statistics of the batch held constant, sample by sample.

## How to repair
Look for an axis: in backward every sum must run along the axes along which forward mixes numbers, and no others.

## How to silence
`--ignore GC107`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._prediction import Prediction
from gradcheck.suspect import Suspect

CODE = "GC107"
_LOOK = "the axis of a sum, a mean or an index in backward: axis 0 is the batch"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """J without its blocks between samples; then n and what the foreign blocks of A add to it."""
    small = suspect.small
    if not small.per_sample or small.count < 2 or not small.affordable or len(small.upstream) > 1:
        return
    of_row = np.repeat(np.arange(small.count), small.flat_upstream.size // small.count)
    if of_row.size != small.flat_upstream.size:
        return
    of_column = small.columns // (small.array.size // small.count)
    foreign = of_row[:, None] != of_column
    own = small.flat_upstream @ np.where(foreign, 0.0, small.jacobian)
    if (small.jacobian * foreign).any():
        yield Prediction(
            small.unflat(own),
            "a = Σ gₒ Jₒ, over the outputs of the same sample",
            f"{suspect.what} leaves out that the output of a sample depends on the other samples",
            "a sum or mean over the batch in forward that backward lacks",
            small,
        )
        return
    found = small.analytic_jacobian
    if found is None or small.rows.size != small.flat_upstream.size:
        return
    least = 1e-9 * float(np.max(np.abs(found), initial=0.0))
    leaks = foreign & (np.abs(found) > least)
    if leaks.any():
        values = small.n + small.unflat(small.flat_upstream @ np.where(foreign, found, 0.0))
        yield Prediction(
            values,
            "a = n + Σ gₒ Aₒ, over the outputs of other samples",
            f"{suspect.what} depends on the upstream gradient of other samples, and in forward no output does",
            _LOOK,
            small,
            certain=True,
        )


ASKED = ((170, predict),)
