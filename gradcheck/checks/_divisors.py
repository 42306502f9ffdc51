"""The names of the numbers that a mean may divide by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import number
from gradcheck.network import Term

Array = NDArray[Any]
_CLOSE = 1e-9


def describe(
    term: Term, reduction: str, divisor: float | None, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]
) -> str:
    """`96 = 32 samples × 3 outputs`, `21.5 = the sum of the weights`; empty where no divisor is declared."""
    if divisor is None:
        return ""
    said = term.divisor_name(reduction, arrays, losses_shape)
    factors = losses_shape[:1] if reduction == "batch_mean" else losses_shape
    if term.elementwise and not said and divisor == np.prod(factors):
        return _product(divisor, factors)
    names = [said] if said else fitting(divisor, term, arrays, losses_shape)
    return f"{number(divisor)}{' = ' + names[0] if names else ''}"


def fitting(value: float, term: Term, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]) -> list[str]:
    """The names of everything countable that this number is."""
    if not np.isfinite(value):
        return []
    return [
        name for name, count in _counts(term, arrays, losses_shape).items() if abs(count - value) <= _CLOSE * abs(value)
    ]


def _product(divisor: float, factors: tuple[int, ...]) -> str:
    kinds = ["samples", *(["outputs"] if len(factors) == 2 else ["positions"] * (len(factors) - 1))]
    if len(factors) == 1:
        return f"{number(divisor)} samples"
    return f"{number(divisor)} = {' × '.join(f'{n} {kind}' for n, kind in zip(factors, kinds, strict=True))}"


def _counts(term: Term, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]) -> dict[str, float]:
    """Samples, elements, outputs, valid targets, sums of weights: whatever can be counted."""
    prediction = arrays[term.predictions[0]]
    counts: dict[str, float] = {
        "the samples": float(len(prediction)),
        "the elements of the prediction": float(prediction.size),
    }
    if len(prediction) and prediction.size // len(prediction) > 1:
        counts["the outputs of one sample"] = prediction.size / len(prediction)
    target = term.data.get("target")
    if target is not None:
        counts["the targets"] = float(arrays[target].size)
        if arrays[target].dtype.kind in "iu":
            counts["the valid (not negative) targets"] = float(np.sum(arrays[target] >= 0))
        else:
            counts["the valid (not NaN) targets"] = float(np.sum(~np.isnan(arrays[target])))
    for name, key in term.data.items():
        if name != "target" and arrays[key].dtype.kind in "fiub":
            counts[f"the sum of `{name}`"] = float(np.sum(arrays[key]))
            counts[f"the entries of `{name}` that are not zero"] = float(np.count_nonzero(arrays[key]))
    return counts
