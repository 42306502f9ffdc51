"""One layer or loss at points where formulas divide zero by zero: is backward a number wherever forward is one?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._breaches import Breach
from gradcheck.checks._callee import Callee, Given
from gradcheck.errors import LayerFailure
from gradcheck.network import Term

Array = NDArray[Any]
#: So great that exponentials of both signs saturate, and none overflows.
_GREAT = 50.0


def not_a_number(callee: Callee) -> Breach | None:
    """NaN from a backward whose forward is finite; a slope that is infinite may be right, and is none."""
    for words, given in _points(callee):
        with suppress(LayerFailure):
            answer = callee.forward(given)
            if not all(np.isfinite(y).all() for y in answer.outputs):
                continue
            found = callee.backward(callee.upstream(answer, 1), answer.cache)
            lost = [name for name, gradient in found.items() if np.isnan(gradient).any()]
            if lost:
                return Breach(
                    "GC115",
                    f"where {words}, forward is finite and backward gives NaN in the gradient of {' and '.join(lost)}; "
                    "no input of this run is there, but one of another run may be",
                    "warning",
                )
    return None


def _points(callee: Callee) -> Iterator[tuple[str, Given]]:
    """In words, and what forward gets there; data, parameters and whole numbers are those of the run."""
    if not any(callee.arrays[name].dtype.kind == "f" for name in callee.inputs):
        return
    for words, value in (("every input is 0", 0.0), (f"every input is {_GREAT:g}", _GREAT),
                         (f"every input is -{_GREAT:g}", -_GREAT)):  # fmt: skip
        yield words, callee.given(_filled(callee, value, slice(None)))
    yield "the first sample is 0", callee.given(_filled(callee, 0.0, slice(1)))
    if isinstance(callee.part, Term) and "target" in callee.part.data and len(callee.inputs) == 1:
        target = callee.arrays[callee.part.data["target"]]
        if target.shape == callee.arrays[callee.inputs[0]].shape:
            yield "the prediction is the target", callee.given(_replaced(callee, target))


def _filled(callee: Callee, value: float, samples: slice) -> Any:
    def change(name: str, array: Array) -> Array:
        array = array.copy()
        if name in callee.inputs and array.dtype.kind == "f" and array.ndim:
            array[samples] = value
        return array

    return change


def _replaced(callee: Callee, target: Array) -> Any:
    return lambda name, array: target.astype(array.dtype) if name in callee.inputs else array.copy()
