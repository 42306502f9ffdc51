"""The same network again in 50-digit arithmetic, written as plainly as possible, and its derivatives.

Arrays are numpy arrays of mpmath numbers. Nothing here is shared with gradcheck but the drawn numbers themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from gradcheck.naming import spec_name
from gradcheck.spec.case import Case

Array = NDArray[Any]
DIGITS = 50
#: Central differences of this step err by about 1e-40 (truncation) and 1e-30 (rounding).
_STEP = mpmath.mpf(10) ** -20

_exp, _log = np.frompyfunc(mpmath.exp, 1, 1), np.frompyfunc(mpmath.log, 1, 1)
_tanh = np.frompyfunc(mpmath.tanh, 1, 1)


def derivative(case: Case, name: str, index: tuple[int, ...]) -> Any:
    """∂ loss / ∂ entry, to about 30 digits."""
    with mpmath.workdps(DIGITS):
        arrays = {key: _precise(array) for key, array in case.point.arrays.items()}
        values = []
        for step in (_STEP, -_STEP):
            moved = arrays[name].copy()
            moved[index] += step
            values.append(loss(case, {**arrays, name: moved}))
        return (values[0] - values[1]) / (2 * _STEP)


def loss(case: Case, arrays: dict[str, Array]) -> Any:
    """The loss of a chain of layers at the given numbers."""
    for node in case.network.nodes:
        x, parameters = arrays[node.inputs[0]], {key: arrays[name] for key, name in node.parameters.items()}
        arrays = {**arrays, node.outputs[0]: LAYERS[spec_name(type(node.layer))](x, **parameters)}
    (term,) = case.network.terms
    losses = LOSSES[spec_name(type(term.loss))](arrays[term.predictions[0]], arrays["target"])
    divisors = {"sum": 1, "mean": losses.size, "batch_mean": len(losses)}
    return losses.sum() / divisors[term.reduction]


def exactly(value: Any) -> Any:
    """A float in 50-digit arithmetic."""
    return mpmath.mpf(float(value))


def _precise(array: Array) -> Array:
    """The very same numbers: every float64 is exact in 50 digits. Integers stay."""
    if array.dtype.kind != "f":
        return array
    exact: Array = np.frompyfunc(mpmath.mpf, 1, 1)(array.astype(object))
    return exact


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    y: Array = x @ weight + bias
    return y


def _sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + _exp(-x))
    return y


def _softplus(x: Array) -> Array:
    y: Array = _log(1 + _exp(x))
    return y


def _softmax(x: Array) -> Array:
    y: Array = _exp(x) / _exp(x).sum(axis=-1, keepdims=True)
    return y


def _conv2d(x: Array, weight: Array, bias: Array) -> Array:
    """Every output pixel by itself; stride 1, no padding."""
    kh, kw = weight.shape[2:]
    rows, columns = x.shape[2] - kh + 1, x.shape[3] - kw + 1
    y = np.empty((len(x), len(weight), rows, columns), dtype=object)
    for n, o, p, q in np.ndindex(*y.shape):
        y[n, o, p, q] = bias[o] + (x[n, :, p : p + kh, q : q + kw] * weight[o]).sum()
    return y


def _cross_entropy(p: Array, target: Array) -> Array:
    return np.array([-_log(_softmax(row))[t] for row, t in zip(p, target, strict=True)])


def _bce_with_logits(p: Array, target: Array) -> Array:
    losses: Array = -target * _log(_sigmoid(p)) - (1 - target) * _log(1 - _sigmoid(p))
    return losses


LAYERS: dict[str, Callable[..., Array]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "tanh": lambda x: _tanh(x),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "softmax": _softmax,
    "log_softmax": lambda x: _log(_softmax(x)),
    "flatten": lambda x: x.reshape(len(x), -1),
}
LOSSES: dict[str, Callable[..., Array]] = {
    "mse": lambda p, target: (p - target) ** 2,
    "cross_entropy": _cross_entropy,
    "bce_with_logits": _bce_with_logits,
}
