"""Attention: for every query, a mean of all values, weighted by how well their keys fit it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Shape
from gradcheck.maths import softmax, softmax_vjp


def attend(
    q: Array, k: Array, v: Array, mask: Array | None, scale: float, is_causal: bool
) -> tuple[Array, tuple[Any, ...]]:
    """y = P v, P = softmax(scale q kᵀ + B) over the keys that the mask allows -> (y (..., L, Ev), cache).

    q       (..., L, E)
    k, v    (..., S, E), (..., S, Ev)
    mask    integers or booleans say which keys count; real numbers are B; broadcast to (..., L, S)
    """
    scores = (scale * q) @ k.mT
    allowed, mask_shape = None, None
    if mask is not None and mask.dtype.kind in "fc":
        scores, mask_shape = scores + mask, mask.shape
    elif mask is not None:
        allowed = mask != 0
    if is_causal:
        earlier = np.tril(np.ones(scores.shape[-2:], dtype=bool))
        allowed = earlier if allowed is None else allowed & earlier
    P = softmax(scores, -1, where=allowed)
    return P @ v, (q, k, v, P, scale, mask_shape)


def attend_vjp(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array, Array | None]:
    """dq = scale dS k, dk = scale dSᵀ q, dv = Pᵀ dy, dB = Σ dS, with dS = P (dP − Σ dP P), dP = dy vᵀ."""
    q, k, v, P, scale, mask_shape = cache
    dS = softmax_vjp(P, dy @ v.mT, -1)
    dB = None if mask_shape is None else _summed(dS, mask_shape)
    return scale * (dS @ k), scale * (dS.mT @ q), P.mT @ dy, dB


def require_attention(q: Shape, k: Shape, v: Shape, what: str) -> None:
    """Raise ShapeError unless queries, keys and values fit together, as `what` says in words."""
    fit = 1 < len(q) == len(k) == len(v) and q[:-2] == k[:-2] == v[:-2] and k[-2] == v[-2]
    if not fit:
        raise ShapeError(f"needs {what}, got {q}, {k} and {v}")


def require_mask(mask: Shape, scores: Shape, what: str) -> None:
    """Raise ShapeError unless a mask can be broadcast to the scores, whose shape `what` says in words."""
    fits = len(mask) <= len(scores) and all(m in (1, s) for m, s in zip(mask[::-1], scores[::-1], strict=False))
    if len(mask) < 2 or not fits:
        raise ShapeError(f"needs a mask {what}, here {scores[-2:]} or {scores}, with 1 for any of them; got {mask}")


def _summed(array: Array, shape: Shape) -> Array:
    """The sum over every axis along which an array of this shape was broadcast."""
    array = array.sum(axis=tuple(range(array.ndim - len(shape))))
    summed: Array = array.sum(axis=tuple(k for k, size in enumerate(shape) if size == 1), keepdims=True)
    return summed
