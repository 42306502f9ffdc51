"""The gradient belongs to another tensor.

## What it is
a is the numeric gradient of another operand of the same layer, up to a scale; or the product was taken with the wrong
factor.

## Why it is bad
Where two tensors have one shape nothing complains.

## Typical causes
Two names swapped in the dictionary that backward returns; `dy * a` for the gradient of a in a product; gates in another
order.

## How to repair
Check name by name what is returned for what; in a product the gradient of one factor is made of the other.

## How to silence
`--ignore GC117`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from gradcheck.diagnosis._prediction import Prediction
from gradcheck.suspect import Suspect

CODE = "GC117"
_LOOK = "the names in backward's return value, and which factor of a product stands where"


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n of every other operand of the same shape; n with one array in another's place."""
    what = f"{suspect.what}"
    for name in suspect.real:
        if name != suspect.operand and suspect.arrays[name].shape == suspect.array.shape:
            values = suspect.numeric(operand=name)
            yield Prediction(values, f"a = n of {name}", f"{what} is that of {name}", _LOOK)
    yield from _products(suspect, what)
    floating = [n for n in suspect.real if suspect.arrays[n].ndim]
    for name in floating:
        for other in floating:
            if name != other and suspect.arrays[name].shape == suspect.arrays[other].shape:
                values = suspect.numeric(arrays={name: suspect.exact[other]})
                yield Prediction(
                    values,
                    f"a = n with {other} in place of {name}",
                    f"{what} is computed with {other} where {name} is meant",
                    _LOOK,
                )
    if not suspect.is_loss and suspect.outputs and suspect.outputs[0].shape == suspect.exact[suspect.inputs[0]].shape:
        first = suspect.inputs[0]
        if suspect.arrays[first].dtype.kind == "f" and not np.array_equal(suspect.outputs[0], suspect.exact[first]):
            values = suspect.numeric(arrays={first: suspect.outputs[0]})
            yield Prediction(
                values,
                "a = n with the output in place of the input",
                f"{what} is computed with the output where the input is meant",
                _LOOK,
            )


def _products(suspect: Suspect, what: str) -> Iterator[Prediction]:
    """Σ g t for a parameter that has a number for each feature, with another array where one belongs."""
    if not suspect.is_parameter or len(suspect.upstream) > 1 or not suspect.array.ndim:
        return
    g, shape = suspect.upstream[0], suspect.array.shape
    arrays = {name: suspect.exact[name] for name in suspect.inputs if suspect.arrays[name].dtype.kind == "f"}
    for name, t in {**arrays, "the output": suspect.outputs[0]}.items():
        if t.shape != g.shape:
            continue
        for count in range(1, g.ndim):
            for axes in combinations(range(g.ndim), count):
                values = (g * t).sum(axis=axes)
                if values.shape == shape:
                    says = f"{what} is the sum of the upstream gradient times {name}: another array belongs there"
                    yield Prediction(values, f"a = Σ g t, t = {name}", says, _LOOK)


ASKED = ((40, predict),)
