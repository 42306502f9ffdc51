"""A regulariser's gradient is in the layer's.

## What it is
e = c W, or c sign(W), with one c for the whole parameter, whatever the upstream gradient is.

## Why it is bad
The objective that is trained is not the one that is written down; where the loss has the penalty too, it counts twice.

## Typical causes
Weight decay in the layer's backward and in the loss, or in the optimiser as well; a penalty in the gradient alone.

## How to repair
Have the penalty in one place: a term of the loss (`l2_penalty`), or the optimiser's weight decay.

## How to silence
`--ignore GC118`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._fit import number
from gradcheck.diagnosis._prediction import Prediction, fits
from gradcheck.suspect import Suspect

CODE = "GC118"
_LOOK = "weight decay that is added in backward, and is not in forward"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n + c W, n + c sign(W), with the same c under twice the upstream gradient."""
    if not suspect.is_parameter:
        return
    W = suspect.exact[suspect.operand]
    for symbol, shape in (("W", W), ("sign(W)", np.sign(W))):
        where = suspect.clear
        total = float(np.sum(np.square(shape)[where]))
        c = float(np.sum((suspect.e * shape)[where])) / total if total else 0.0
        values = suspect.n + c * shape
        doubled = suspect.scaled(2.0)
        if c and W.size > 1 and fits(suspect, values, 1) and fits(doubled, doubled.n + c * shape, 1):
            yield Prediction(
                values,
                f"a = n + {number(c)} {symbol}",
                f"what is wrong in {suspect.what} is {number(c)} × {symbol}, and stays the "
                "same when the upstream gradient is doubled",
                _LOOK,
                free=1,
                fixed=True,
            )


ASKED = ((20, predict),)
