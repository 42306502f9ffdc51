"""A softmax is folded in twice, or too early.

## What it is
The gradient is that by another node of the graph: with p the softmax of the operand, a = p (n - Σ p n): it went through
the softmax's backward once more. Its rows still add up to zero.

## Why it is bad
It is small where the network is sure of itself, right or wrong, and training stalls.

## Typical causes
`q - onehot` is already the gradient by the logits, and is sent through the softmax again; or it is returned as the
gradient by the probabilities.

## How to repair
Say for every loss whether it takes logits or probabilities, and give the gradient by just that.

## How to silence
`--ignore GC124`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._prediction import Prediction
from gradcheck.suspect import Suspect

CODE = "GC124"
_LOOK = "whether the loss takes logits or probabilities, and where the softmax is differentiated"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """The softmax's backward of n, and n by the logarithms of probabilities."""
    if suspect.is_parameter or suspect.array.ndim < 2 or suspect.entries is not None:
        return
    x, n = suspect.exact[suspect.operand], suspect.n
    for axis in dict.fromkeys((x.ndim - 1, 1)):
        shifted = np.exp(x - x.max(axis=axis, keepdims=True))
        p = shifted / shifted.sum(axis=axis, keepdims=True)
        what = f"{suspect.what}"
        yield Prediction(
            p * (n - (p * n).sum(axis=axis, keepdims=True)),
            "a = p (n - Σ p n), p = softmax(x)",
            f"{what} has gone through the backward of a softmax once more than forward goes through one",
            _LOOK,
        )
        if suspect.is_loss and (x >= 0).all() and np.allclose(x.sum(axis=axis), 1, rtol=1e-9):
            yield Prediction(
                x * (n - (x * n).sum(axis=axis, keepdims=True)),
                "a = x (n - Σ x n)",
                f"{what} is that by the logits, and the loss takes probabilities",
                _LOOK,
            )
            yield Prediction(x * n, "a = x n", f"{what} is that by the logarithms of what the loss takes", _LOOK)
        with np.errstate(all="ignore"):
            if suspect.is_loss:
                beyond = np.where(suspect.clear, suspect.a - n / p, 0.0).mean(axis=axis, keepdims=True)
                yield Prediction(n / p + beyond, "a = n / p + c, one c for each row",
                                 f"{what} is that by the probabilities, and the loss takes logits", _LOOK,
                                 free=beyond.size)  # fmt: skip
            yield Prediction(
                np.where(p > 0, n / p, np.nan),
                "a = n / p",
                f"{what} is that by the probabilities, and the loss takes logits",
                _LOOK,
            )


ASKED = ((35, predict),)
