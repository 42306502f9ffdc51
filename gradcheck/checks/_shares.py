"""The weight that each sample really got: the batch's gradient as a combination of those of its samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import number
from gradcheck.checks._parts import Parts, Wrong

Array = NDArray[Any]
#: What may be left of the gradient that the combination does not explain.
_EXPLAINED = 1e-6
_SHOWN = 8


def shares(total: Parts, wrong: Wrong, names: Iterable[str], divisor: float) -> list[float] | None:
    """c of D g = Σ cᵢ gᵢ by least squares, from the first tensor that determines it; None where none does.

    wrong  by name, the gradient of the batch and what it is held against, as `disagreeing` gives them
    names  the tensors, in the order in which they are tried
    """
    for name in names:
        if name in wrong:
            found = _of(total, name, divisor * wrong[name][0])
            if found is not None:
                return [float(weight) for weight in found]
    return None


def _of(total: Parts, name: str, batch: Array) -> Array | None:
    each = total.gradient(name)
    rows = each if name in total.batched else np.array([part.gradients[name] for part in total.each], dtype=np.float64)
    flat = rows.reshape(len(rows), -1)
    size = float(np.linalg.norm(batch))
    if not np.isfinite(flat).all() or not np.isfinite(batch).all() or not size:
        return None
    if name in total.batched:
        own = batch.reshape(flat.shape)
        squares = (flat**2).sum(axis=1)
        if not squares.all():
            return None
        weights: Array = (flat * own).sum(axis=1) / squares
        left = own - weights[:, None] * flat
    else:
        weights, _, rank, _ = np.linalg.lstsq(flat.T, batch.reshape(-1), rcond=_EXPLAINED)
        if rank < len(flat):
            return None
        left = flat.T @ weights - batch.reshape(-1)
    return weights if float(np.linalg.norm(left)) <= _EXPLAINED * size else None


def in_words(weights: list[float]) -> str:
    """`samples 0 to 3 count 0, 0, 0 and 1 times`."""
    shown = [number(round(weight, 6) + 0.0) for weight in weights[:_SHOWN]]
    if len(weights) > _SHOWN:
        return f"the first {_SHOWN} samples count {', '.join(shown)} times"
    return f"samples 0 to {len(weights) - 1} count {', '.join(shown[:-1])} and {shown[-1]} times"
