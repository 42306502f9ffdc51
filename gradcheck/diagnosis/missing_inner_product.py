"""The inner product with the upstream gradient is missing.

## What it is
Sample by sample, the analytic Jacobian differs from the numeric one by a matrix of rank 1, and e is a multiple of one
vector: for a softmax e/p is constant in every row.

## Why it is bad
What ties the outputs of a sample together (they add up to 1) is not in the gradient.

## Typical causes
`y * g` for a softmax, without - y Σ g y; a log-softmax without - p Σ g.

## How to repair
dx = y (g - Σ g y) for a softmax, dx = g - p Σ g for a log-softmax: keep the sum, along the axis of forward.

## How to silence
`--ignore GC106`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnosis._prediction import Prediction, fits
from gradcheck.suspect import Suspect

Array = NDArray[Any]
CODE = "GC106"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n + c p, with p what a softmax along some axis gives and c one number for each of its rows."""
    if not suspect.per_sample or not suspect.outputs or suspect.outputs[0].shape != suspect.array.shape:
        return
    y = suspect.outputs[0]
    for axis in range(y.ndim):
        for p in (y, np.exp(np.minimum(y, 700.0))):
            if (p >= 0).all() and np.allclose(p.sum(axis=axis), 1.0, rtol=1e-9):
                e = suspect.e
                c = (e * p).sum(axis=axis, keepdims=True) / (p * p).sum(axis=axis, keepdims=True)
                values = suspect.n + c * p
                if y.shape[axis] > 1 and fits(suspect, values, c.size):
                    yield Prediction(
                        values,
                        f"a = n + c p, one c for each row of axis {axis}",
                        f"what is wrong in {suspect.what} is in every row of axis {axis} "
                        "a multiple of the probabilities: their inner product with the upstream gradient "
                        "is missing or wrong",
                        "- y Σ g y of a softmax, - p Σ g of a log-softmax",
                        free=c.size,
                    )


ASKED = ((61, predict),)
