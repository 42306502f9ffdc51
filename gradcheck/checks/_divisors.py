"""The names of the numbers that a mean may divide by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
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
    factors = _factors(term, reduction, divisor, said, losses_shape)
    if factors:
        return _product(divisor, factors)
    names = [said] if said else fitting(divisor, term, arrays, losses_shape)
    return f"{number(divisor)}{' = ' + names[0] if names else ''}"


def counted(
    term: Term, reduction: str, divisor: float, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]
) -> str:
    """What a reduction divides by, as it ends a sentence: `96 elements`, `5 valid (not NaN) targets`."""
    said = term.divisor_name(reduction, arrays, losses_shape)
    factors = _factors(term, reduction, divisor, said, losses_shape)
    if len(factors) == 1:
        return f"{number(divisor)} samples"
    if factors:
        alike = losses_shape == arrays[term.predictions[0]].shape
        return f"{number(divisor)} {'elements' if alike else 'positions'}"
    name = said or next(iter(fitting(divisor, term, arrays, losses_shape)), "")
    if name.startswith("the sum of "):
        return f"{number(divisor)} that are {name}"
    return f"{number(divisor)} {name.removeprefix('the ')}".strip()


def _factors(
    term: Term, reduction: str, divisor: float, said: str, losses_shape: tuple[int, ...]
) -> tuple[int, ...]:  # fmt: skip
    """The sizes whose product an elementwise loss divides by; none where it divides by something else, or says what."""
    factors = losses_shape[:1] if reduction == "batch_mean" else losses_shape
    return factors if term.elementwise and not said and divisor == np.prod(factors) else ()


def fitting(value: float, term: Term, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]) -> list[str]:
    """The names of everything countable that this number is."""
    if not np.isfinite(value):
        return []
    return [
        name for name, count in _counts(term, arrays, losses_shape).items() if abs(count - value) <= _CLOSE * abs(value)
    ]


def is_of_weights(names: Sequence[str]) -> bool:
    """Whether a number is a sum of weights, and no count."""
    return bool(names) and all(name.startswith("the sum of ") for name in names)


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
    counts |= _class_weights(term, arrays)
    for name, key in term.data.items():
        if name != "target" and arrays[key].dtype.kind in "fiub":
            counts[f"the sum of `{name}`"] = float(np.sum(arrays[key]))
            counts[f"the entries of `{name}` that are not zero"] = float(np.count_nonzero(arrays[key]))
    return counts


def _class_weights(term: Term, arrays: Mapping[str, Array]) -> dict[str, float]:
    """Σ w[t] over the valid targets, for data or an option of the loss that has one number for each class."""
    target = arrays[term.data["target"]] if "target" in term.data else np.zeros(0)
    classes = arrays[term.predictions[0]].shape[getattr(term.loss, "axis", -1)]
    if target.dtype.kind not in "iu" or not np.all(target < classes):
        return {}
    options: tuple[Any, ...] = fields(term.loss) if is_dataclass(term.loss) else ()
    offered: dict[str, Any] = {option.name: getattr(term.loss, option.name) for option in options}
    offered |= {name: arrays[key] for name, key in term.data.items() if name != "target"}
    counts = {}
    for name, given in offered.items():
        weights = np.asarray(given) if isinstance(given, (tuple, list, np.ndarray)) else np.zeros(0)
        if weights.shape == (classes,) and weights.dtype.kind in "fiu":
            counts[f"the sum of `{name}` over the targets"] = float(np.sum(weights[target[target >= 0]]))
    return counts
