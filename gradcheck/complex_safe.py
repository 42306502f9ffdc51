"""Drop-in versions of what numpy cannot do under a complex step.

For real arrays they give what numpy gives. For z = x + i h v with a tiny h they give f(x) + i h f′(x) v, where numpy
loses the imaginary part (abs, norm, var, std), falsifies it (sign, vdot), or refuses (hypot, logaddexp, arctan2,
expit). Branches follow the real part; at a tie the first argument is taken, at 0 the absolute value has slope 1.

    import gradcheck.complex_safe as cs
    y = cs.abs(x) / cs.norm(x, axis=-1, keepdims=True)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Axis = int | tuple[int, ...] | None

__all__ = [
    "abs", "arctan2", "clip", "expit", "hypot", "logaddexp", "maximum", "minimum", "norm", "sign", "std", "var", "vdot",
]  # fmt: skip


def abs(x: ArrayLike) -> Array:  # noqa: A001 - the name that it replaces
    """|x| = x where x ≥ 0, else -x. Shape of x."""
    z = np.asarray(x)
    return np.where(z.real < 0, -z, z)


def sign(x: ArrayLike) -> Array:
    """-1, 0 or 1 by the real part; its derivative is 0. Shape of x, real."""
    return np.asarray(np.sign(np.asarray(x).real))


def maximum(a: ArrayLike, b: ArrayLike) -> Array:
    """The greater of each pair by the real part; a where they are equal. Broadcast shape; NaN wins, as in numpy."""
    return _chosen(np.asarray(a), np.asarray(b), np.greater_equal)


def minimum(a: ArrayLike, b: ArrayLike) -> Array:
    """The smaller of each pair by the real part; a where they are equal. Broadcast shape; NaN wins, as in numpy."""
    return _chosen(np.asarray(a), np.asarray(b), np.less_equal)


def clip(x: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
    """x between the bounds; at a bound x itself is taken, so the slope there is 1. Broadcast shape."""
    return minimum(maximum(x, low), high)


def vdot(a: ArrayLike, b: ArrayLike) -> Any:
    """Σ a b over all entries, without a conjugate. A scalar."""
    return np.dot(np.asarray(a).reshape(-1), np.asarray(b).reshape(-1))


def norm(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Any:
    """√Σ x² over the axes (over all entries by default), scaled so that squares neither overflow nor vanish."""
    z = np.asarray(x)
    greatest = np.max(np.abs(z.real), axis=axis, keepdims=True, initial=0.0)
    scale = np.where((greatest > 0) & np.isfinite(greatest), greatest, 1)
    length = scale * np.sqrt(np.sum((z / scale) ** 2, axis=axis, keepdims=True))
    return length if keepdims else np.squeeze(length, axis=axis)[()]


def var(x: ArrayLike, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Σ (x - mean)² / (n - ddof) over the axes."""
    z = np.asarray(x)
    deviation = z - z.mean(axis=axis, keepdims=True)
    total = np.sum(deviation**2, axis=axis, keepdims=keepdims)
    count = z.size if axis is None else np.prod([z.shape[k] for k in np.atleast_1d(axis)])
    return total / (int(count) - ddof)


def std(x: ArrayLike, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """√var."""
    return np.sqrt(var(x, axis, ddof, keepdims))


def hypot(a: ArrayLike, b: ArrayLike) -> Array:
    """√(a² + b²), without overflow. Broadcast shape."""
    first, second = abs(a), abs(b)
    great, small = maximum(first, second), minimum(first, second)
    divisor = np.where(great.real > 0, great, 1)
    length: Array = great * np.sqrt(1 + (small / divisor) ** 2)
    return length


def logaddexp(a: ArrayLike, b: ArrayLike) -> Array:
    """log(eᵃ + eᵇ), without overflow. Broadcast shape."""
    great, small = maximum(a, b), minimum(a, b)
    total: Array = great + np.log1p(np.exp(small - great))
    return total


def arctan2(y: ArrayLike, x: ArrayLike) -> Array:
    """The angle of (x, y); its derivative is (x dy - y dx) / (x² + y²). Broadcast shape."""
    above, along = np.broadcast_arrays(np.asarray(y), np.asarray(x))
    angle = np.arctan2(above.real, along.real)
    if not (np.iscomplexobj(above) or np.iscomplexobj(along)):
        return np.asarray(angle)
    slope = (along.real * above.imag - above.real * along.imag) / hypot(along.real, above.real) ** 2
    return np.asarray(angle + 1j * slope)


def expit(x: ArrayLike) -> Array:
    """1 / (1 + e⁻ˣ), without overflow. Shape of x."""
    z = np.asarray(x)
    positive = z.real > 0
    e = np.exp(np.where(positive, -z, z))
    y: Array = np.where(positive, 1, e) / (1 + e)
    return y


def _chosen(a: Array, b: Array, better: Any) -> Array:
    first = better(a.real, b.real) | np.isnan(a.real)
    return np.where(first, a, b)
