"""Attention as obvious loops, one query and one key after the other, with a mistake of choice in the way back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def attention(
    q: Array, k: Array, v: Array, mask: Array | None, dy: Array,
    scale: float | None = None, is_causal: bool = False, mistake: str = "",
) -> tuple[Array, tuple[Array, Array, Array, Array | None]]:  # fmt: skip
    """y, and the gradients of q, k, v and of the mask where it is real."""
    s = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    y, dq, dk, dv = np.zeros(dy.shape), np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    given = np.ones((1, 1), dtype=bool) if mask is None else mask
    real = given.dtype.kind == "f"
    everywhere = np.broadcast_to(given, (*q.shape[:-1], k.shape[-2]))
    d_mask = np.zeros(given.shape)
    for *lead, row in np.ndindex(*q.shape[:-1]):
        at, keys = (*lead, row), [(*lead, column) for column in range(k.shape[-2])]
        bias = everywhere[at] if real else np.zeros(len(keys))
        seen = [j for j in range(len(keys)) if (real or everywhere[at][j]) and not (is_causal and j > row)]
        scores = [s * (q[at] @ k[key]) + bias[j] for j, key in enumerate(keys)]
        weights = probabilities(scores, seen)
        y[at] = sum(weights[j] * v[key] for j, key in enumerate(keys))
        if mistake == "mask forgotten":
            weights = probabilities(scores, range(len(keys)))
        slopes = [dy[at] @ v[key] for key in keys]
        inner = (
            0.0 if mistake == "inner product forgotten" else sum(w * d for w, d in zip(weights, slopes, strict=True))
        )
        factor = 1.0 if mistake == "scale forgotten" else s
        for j, key in enumerate(keys):
            d_score = weights[j] * (slopes[j] - inner)
            dq[at] += factor * d_score * k[key]
            dk[key] += factor * d_score * q[at]
            dv[key] += (1 / len(keys) if mistake == "values averaged" else weights[j]) * dy[at]
            place = (*at, j)[len(at) + 1 - given.ndim :]
            d_mask[tuple(0 if size == 1 else i for i, size in zip(place, given.shape, strict=True))] += d_score
    return y, (dq, dk, dv, d_mask if real else None)


def probabilities(scores: Any, seen: Any) -> list[float]:
    """Softmax over the keys that are seen, 0 for the others."""
    exponentials = {j: math.exp(scores[j]) for j in seen}
    return [exponentials.get(j, 0.0) / sum(exponentials.values()) if exponentials else 0.0 for j in range(len(scores))]
