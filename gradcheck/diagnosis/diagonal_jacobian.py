"""Only the diagonal of the Jacobian is used.

## What it is
The output's entry k depends on several entries of the input, and backward multiplies the upstream gradient by ∂yₖ/∂xₖ
alone: a = g diag(J).

## Why it is bad
The sum of the other terms is as large as what is left. For a softmax the gradient no longer adds up to zero.

## Typical causes
`y * (1 - y)` for a softmax, as if it were a sigmoid; any elementwise formula for what is not elementwise.

## How to repair
dx_k = Σⱼ g_j ∂y_j/∂x_k: write the Jacobian's other entries down and add them. For a softmax: y (g - Σ g y).

## How to silence
`--ignore GC105`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._prediction import Prediction
from gradcheck.suspect import Suspect

CODE = "GC105"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """g diag(J)."""
    small = suspect.small
    if len(small.upstream) > 1 or small.upstream[0].shape != small.array.shape or not small.affordable:
        return
    diagonal = small.jacobian[small.columns, np.arange(small.columns.size)]
    if not np.any(small.jacobian.sum(axis=0) != diagonal):
        return
    values = small.unflat(small.flat_upstream[small.columns] * diagonal)
    yield Prediction(
        values,
        "a = g diag(J)",
        f"{suspect.what} uses ∂yₖ/∂xₖ alone, and leaves out ∂yⱼ/∂xₖ of the other outputs",
        "an elementwise formula for a map whose outputs depend on several inputs",
        small,
    )


ASKED = ((62, predict),)
