"""The gradient is clipped or normalised inside the layer.

## What it is
Many |a| equal one maximum and a = n below it; or a = n c/‖n‖; or the upstream gradient is clipped before it is used.
Twice the upstream gradient does not give twice the gradient.

## Why it is bad
The layers before it get a gradient of another direction, and no learning rate can mend that.

## Typical causes
`np.clip` in a backward, against exploding gradients; a division by the norm; sign(g).

## How to repair
Return the gradient as it is. Clip in the optimiser, where all gradients are known.

## How to silence
`--ignore GC119`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from gradcheck.diagnosis._fit import factor, number
from gradcheck.diagnosis._prediction import Prediction, fits
from gradcheck.suspect import Suspect

CODE = "GC119"
_LOOK = "a clip, a division by a norm or a sign in backward"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """clip(n), n / ‖n‖, n of a clipped upstream gradient; only where backward is not homogeneous."""
    size = max(float(np.max(np.abs(dy), initial=0.0)) for dy in suspect.upstream)
    for factor_ in (1.0, *(times / size for times in (2.0, 64.0) if size)):
        on = suspect.scaled(factor_)
        if on.wrong.any():
            yield from (replace(found, on=on) for found in _predicted(on))


def _predicted(suspect: Suspect) -> Iterator[Prediction]:
    doubled = suspect.scaled(2.0)
    turned = suspect.scaled(-1.0)
    homogeneous = all(
        np.allclose(other.a, k * suspect.a, rtol=1e-9, atol=0) for k, other in ((2.0, doubled), (-1.0, turned))
    )
    if homogeneous or not np.isfinite(suspect.a).all():
        return
    what = f"{suspect.what}"
    c = float(np.max(np.abs(suspect.a), initial=0.0))
    yield Prediction(
        np.clip(suspect.n, -c, c),
        f"a = clip(n, ±{number(c)})",
        f"{what} is cut off at ±{number(c)}: {int(np.sum(np.abs(suspect.a) == c))} entries have that size",
        _LOOK,
        fixed=True,
    )
    yield Prediction(c * np.sign(suspect.n), "a = sign(n)", f"{what} is the sign of the right one", _LOOK, fixed=True)
    positive = tuple(np.maximum(g, 0) for g in suspect.upstream)
    for values, formula in (
        (np.maximum(suspect.n, 0), "max(0, n)"),
        (suspect.numeric(upstream=positive), "n(max(0, g))"),
        (positive[0] if positive[0].shape == suspect.array.shape else np.full(suspect.n.shape, np.nan), "max(0, g)"),
    ):
        yield Prediction(values, f"a = {formula}", f"{what} lets positive numbers pass alone", _LOOK, fixed=True)
    k = factor(suspect, suspect.n)
    if fits(suspect, k * suspect.n, 1):
        yield Prediction(
            k * suspect.n,
            "a = c n / ‖n‖",
            f"{what} has the right direction and a length of its own: doubling the upstream gradient does "
            "not double it",
            _LOOK,
            free=1,
            fixed=True,
        )
    dy = suspect.upstream
    for bound in dict.fromkeys((c, 1.0, 0.5, 0.1, 5.0, 10.0)):
        clipped = tuple(np.clip(g, -bound, bound) for g in dy)
        yield Prediction(
            suspect.numeric(upstream=clipped),
            f"a = n(clip(g, ±{number(bound)}))",
            f"{what} is that of an upstream gradient that is cut off at ±{number(bound)}",
            _LOOK,
            fixed=True,
        )
        if len(dy) == 1 and dy[0].shape == suspect.array.shape:
            yield Prediction(
                clipped[0],
                f"a = clip(g, ±{number(bound)})",
                f"{what} is the upstream gradient, cut off at ±{number(bound)}: it is the gradient that is "
                "clamped, not the layer's numbers",
                _LOOK,
                fixed=True,
            )


ASKED = ((25, predict),)
