"""Backward works at other parameters than forward.

## What it is
a is the gradient at W - η dW: the parameters were changed between forward and the use of them in backward.

## Why it is bad
All layers before this one are off by a few percent, more with a greater learning rate.

## Typical causes
The step is made in backward, before the gradient of the input is computed.

## How to repair
Compute all gradients first; step afterwards, outside of the layers.

## How to silence
`--ignore GC123`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._fit import number
from gradcheck.diagnosis._prediction import Prediction, deviation
from gradcheck.suspect import Suspect

CODE = "GC123"
_ROUNDS = 6
_LOOK = "a parameter that is changed before its value is used"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n at W - η dW, for all parameters together, and for each; η by secants."""
    if suspect.is_loss or suspect.is_parameter or not suspect.parameters:
        return
    real = [name for name in suspect.parameters if name in suspect.real]
    gradients = {name: suspect.numeric(operand=name) for name in real}
    for some in dict.fromkeys([tuple(real), *((name,) for name in real)]):
        eta = _step(suspect, some, gradients)
        if eta:
            values = suspect.numeric(
                arrays={n: suspect.exact[n] - eta * gradients[n] for n in some}, only_plausible=False
            )
            yield Prediction(
                values,
                f"a = n at W - {number(eta)} dW",
                f"{suspect.what} is the one after a step of {number(eta)} × the gradient of {' and '.join(some)}",
                _LOOK,
                free=1,
            )


def _step(suspect: Suspect, names: tuple[str, ...], gradients: dict[str, np.ndarray]) -> float:
    eta = 1e-3
    for _ in range(_ROUNDS):
        values = suspect.numeric(arrays={n: suspect.exact[n] - eta * gradients[n] for n in names}, only_plausible=False)
        clear = suspect.clear & np.isfinite(values)
        direction = (values - suspect.n)[clear]
        total = float(direction @ direction)
        if not np.isfinite(total) or total == 0:
            return 0.0
        off, allowed = deviation(suspect, values)
        if np.all(off <= allowed):
            return eta
        eta *= float(suspect.e[clear] @ direction) / total
        if not np.isfinite(eta) or abs(eta) > 1e3 or eta == 0:
            return 0.0
    return eta


ASKED = ((80, predict),)
