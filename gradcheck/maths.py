"""Stable, complex-safe functions that layers and losses share.

Each is evaluated without overflow wherever its value is representable, keeps the dtype of its argument, and takes
complex arrays: every branch is chosen by the real part and carries the imaginary one, so that for a tiny h
f(x + ih) = f(x) + i h f′(x) to the last digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: More than the square of a complex step, which is 1e-30 or shorter.
_LEFT_BEHIND = 1e-50


def sigmoid(x: Array) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ), elementwise. Its derivative is σ(x) σ(−x), exact in both tails."""
    positive = x.real > 0
    e = np.exp(np.where(positive, -x, x))
    y: Array = np.where(positive, 1, e) / (1 + e)
    return y


def tanh_slope(x: Array) -> Array:
    """4 e / (1 + e)², e = e^−2|x|, elementwise: 1 − tanh² x without the cancellation where tanh x is close to ±1."""
    e = np.exp(-2 * (np.where(x.real > 0, x, -x) if np.iscomplexobj(x) else np.abs(x)))
    slope: Array = 4 * e / (1 + e) ** 2
    return slope


def softplus(x: Array) -> Array:
    """log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|), elementwise. Its derivative is σ(x)."""
    positive = x.real > 0
    y: Array = np.where(positive, x, 0) + np.log1p(np.exp(np.where(positive, -x, x)))
    return y


def t_log_t(t: Array) -> Array:
    """t log t of real numbers t ≥ 0, elementwise; 0 at 0."""
    y: Array = t * np.log(np.where(t > 0, t, 1))
    return y


def softmax(x: Array, axis: int, where: Array | None = None) -> Array:
    """e^xⱼ / Σₖ e^xₖ along one axis; the shape of x.

    where   of x's shape, or broadcast to it: j and k where it is true, 0 elsewhere; all 0 where it is true nowhere
    """
    if where is None:
        e = np.exp(x - at(x, argmax(x, axis), axis))
        total = e.sum(axis=axis, keepdims=True)
    else:
        z = x - at(x, argmax(np.where(where, x.real, -np.inf), axis), axis)
        e = np.where(where, np.exp(np.where(where, z, 0)), 0)
        total = e.sum(axis=axis, keepdims=True)
        total = np.where(total == 0, 1, total)
    y: Array = e / total
    return y


def softmax_vjp(y: Array, dy: Array, axis: int) -> Array:
    """yⱼ (dⱼ − Σₖ dₖ yₖ) for y = softmax(x), d = dy − dyₘ, m the index of the greatest y; the shape of x.

    The constant dyₘ drops out. Without it dₘ is 0, and nothing cancels where yₘ is close to 1.
    """
    d = dy - at(dy, argmax(y, axis), axis)
    dx: Array = y * (d - (d * y).sum(axis=axis, keepdims=True))
    return dx


def log_softmax(x: Array, axis: int) -> Array:
    """xⱼ − log Σₖ e^xₖ along one axis; the shape of x.

    With m the index of the greatest entry it is zⱼ − log(1 + Σ_{k≠m} e^zₖ), z = x − xₘ, which stays exact where xₘ is
    so far above the others that the plain formula rounds to 0.
    """
    m = _places(argmax(x, axis), axis)
    z = x - x[m]
    e = np.exp(z)
    e[m] = 0
    y: Array = z - np.log1p(e.sum(axis=axis, keepdims=True))
    return y


def sum_of_others(x: Array, axis: int) -> Array:
    """Σ_{k≠j} xₖ along one axis, in the place of xⱼ; without the cancellation of Σ x − xⱼ."""
    z = x.swapaxes(axis, -1)
    before, behind = np.zeros(z.shape, dtype=z.dtype), np.zeros(z.shape, dtype=z.dtype)
    np.add.accumulate(z[..., :-1], axis=-1, out=before[..., 1:])
    np.add.accumulate(z[..., :0:-1], axis=-1, out=behind[..., -2::-1])
    others: Array = (before + behind).swapaxes(axis, -1)
    return others


def argmax(x: Array, axis: int) -> NDArray[np.intp]:
    """Index of the greatest real part along one axis, which is kept with length 1."""
    index: NDArray[np.intp] = x.real.argmax(axis=axis, keepdims=True)
    return index


def at(x: Array, index: NDArray[np.intp], axis: int) -> Array:
    """The entries of x at an index that `argmax` gives; the axis is kept with length 1."""
    found: Array = x[_places(index, axis)]
    return found


def _places(index: NDArray[np.intp], axis: int) -> tuple[NDArray[np.intp], ...]:
    """An index that `argmax` gives in the form that numpy takes between brackets."""
    along = [np.arange(n).reshape(-1, *[1] * (index.ndim - 1 - k)) for k, n in enumerate(index.shape)]
    along[axis] = index
    return tuple(along)


def side(x: Array, *, smooth: bool = False) -> NDArray[np.int8]:
    """Which piece of a function with two pieces each entry is on: 1 where the real part is positive, 0 where negative.

    Where it is zero: -1, a border without a derivative; 0 if the function is `smooth`, its slopes being equal there.
    """
    return np.where((x.real == 0) & (not smooth), -1, x.real > 0).astype(np.int8)


def piece(x: Array, *borders: float) -> NDArray[np.int8]:
    """Which piece of a function each entry is on: how many of the borders its real part is above; -1 on a border."""
    above = sum((x.real > border).astype(np.int8) for border in borders)
    return np.where(np.isin(x.real, borders), -1, above).astype(np.int8)


def is_finite(x: Array) -> bool:
    """Whether all numbers are: the sum of their squares says so, unless it overflows."""
    squares = np.vdot(x, x).real if x.dtype.char in "dD" else math.inf
    return math.isfinite(squares) or bool(np.isfinite(x).all())


def real_part(x: Array) -> Array:
    """The real part; 0 where it is no more than a complex step leaves behind: (ih)² = −h² is not a negative number."""
    return np.where(np.abs(x.real) < _LEFT_BEHIND, 0, x.real) if x.dtype.kind == "c" else x


def within(domain: Array, function: Callable[[Array], Array], x: Array, otherwise: Any) -> Array:
    """function(x) inside the domain, which contains 1, and `otherwise` outside, where it is not evaluated."""
    return np.where(domain, function(np.where(domain, x, 1)), otherwise)
