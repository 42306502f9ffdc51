"""One layer, or one term of the loss, as something that is called: with what, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck._ground import Ground
from gradcheck.calling import guarded
from gradcheck.checks._contents import contents
from gradcheck.gradients.numeric.schemes import scale_of
from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.network import Node, Term

Array = NDArray[Any]
Upstream = tuple[Any, ...]
#: Numbers with so few binary digits that sums of two, and products with powers of two, are exact in every precision.
_DIGITS = 2.0**8
#: A generous number of roundings on the way to one entry.
OPERATIONS = 2.0**10


class Given(Struct, frozen=True):
    """What one forward gets: inputs by position, parameters, constants and data by name. The arrays are copies."""

    inputs: tuple[Array, ...]
    keywords: Mapping[str, Any]

    def fresh(self) -> Given:
        """The same numbers in other arrays."""
        return Given(tuple(map(np.copy, self.inputs)), {name: _copied(given) for name, given in self.keywords.items()})


class Answer(Struct, frozen=True):
    """What one forward has returned."""

    outputs: tuple[Any, ...]
    cache: Any


class Callee:
    """Calls forward and backward of one part itself, with arrays that nobody else holds.

    inputs      by position, the names of the arrays that come by position
    parameters  the names by which forward takes what it is differentiated by
    """

    def __init__(self, ground: Ground, part: Node | Term, reduction: str | None = None) -> None:
        self.part, self.reduction = part, reduction
        self.arrays, self.samples = ground.analytic.trace.arrays, ground.stage.samples
        self.unit, self.underflow = ground.unit, ground.underflow
        self.owner: Layer | Loss = part.layer if isinstance(part, Node) else part.loss
        self.inputs = part.inputs if isinstance(part, Node) else part.predictions
        self.parameters = dict(part.parameters) if isinstance(part, Node) else {}
        self._named = {**part.parameters, **part.constants} if isinstance(part, Node) else dict(part.data)

    @property
    def name(self) -> str:
        """The part's name in the report."""
        return self.part.name

    def given(self, change: Callable[[str, Array], Array] | None = None) -> Given:
        """What it gets at the point, perhaps changed array by array."""
        make = change or (lambda name, array: array.copy())
        words: dict[str, Any] = {local: make(key, self.arrays[key]) for local, key in self._named.items()}
        if isinstance(self.part, Node):
            words = {local: self.part.turned(local, array) for local, array in words.items()}
        if self.reduction is not None:
            words["reduction"] = self.reduction
        return Given(tuple(make(name, self.arrays[name]) for name in self.inputs), words)

    def of_samples(self, samples: Sequence[int], factor: float = 1.0) -> Given:
        """What it gets for some of the samples; its parameters times a factor."""

        def change(name: str, array: Array) -> Array:
            if name in self.samples:
                return array[samples]
            if name in self.parameters.values() and array.dtype.kind == "f":
                return np.asarray(array * array.dtype.type(factor))
            return array.copy()

        return self.given(change)

    def forward(self, given: Given) -> Answer:
        """Call forward."""
        with guarded(self.name, "forward", trusted=False):
            outputs, cache = self.owner.forward(*given.inputs, **given.keywords)
        return Answer(outputs if isinstance(outputs, tuple) else (outputs,), cache)

    def backward(self, upstream: Upstream, cache: Any) -> dict[str, Array]:
        """Call backward -> gradients by the name of what they belong to; what is no array of numbers is left out."""
        with guarded(self.name, "backward", trusted=False):
            found = self.owner.backward(upstream if len(upstream) > 1 else upstream[0], cache)
        of_inputs, of_parameters = found if isinstance(self.part, Node) else (found, {})
        several = of_inputs if isinstance(of_inputs, tuple) else (of_inputs,)
        named = {name if name not in self.inputs[:k] else f"{name} (input {k + 1})": gradient
                 for k, (name, gradient) in enumerate(zip(self.inputs, several, strict=False))}  # fmt: skip
        named |= {self.parameters[local]: gradient for local, gradient in of_parameters.items()}
        return {name: array for name, gradient in named.items() if (array := np.asarray(gradient)).dtype.kind in "fiub"}

    def upstream(self, answer: Answer, draw: int) -> Upstream:
        """A random upstream gradient of the size 1, of few digits."""
        return tuple(_drawn(y, draw, k) for k, y in enumerate(answer.outputs))

    def noise(self, answer: Answer, upstream: Upstream, gradients: Mapping[str, Array]) -> dict[str, float]:
        """By gradient, how far two equal calls may lie apart: arrays elsewhere in memory are added up in another order.

        u max(max|dx|, Σ|dy y| / max|x|), times a number of operations: one rounding of y changes the loss as the
        gradient's part of that size does, if x moves by its own size.
        """
        pairs = zip(upstream, answer.outputs, strict=True)
        size = sum(float(np.sum(np.abs(np.asarray(dy, dtype=float) * _finite(y)))) for dy, y in pairs)
        return {name: OPERATIONS * self.unit_of(found) * max(greatest(found), size / self._scale(name))
                for name, found in gradients.items()}  # fmt: skip

    def unit_of(self, gradient: Array) -> float:
        """u of the precision of the analytic side, or of the gradient where that is narrower."""
        own = float(np.finfo(gradient.dtype).eps) / 2 if gradient.dtype.kind == "f" else 0.0
        return max(self.unit, own)

    def state(self) -> dict[str, Any]:
        """What the instance and its classes hold."""
        kinds = [kind for kind in type(self.owner).__mro__ if kind not in (Layer, Loss, object)]
        found = contents(vars(self.owner), "self") if hasattr(self.owner, "__dict__") else {}
        for kind in kinds:
            own = {name: held for name, held in vars(kind).items() if not name.startswith("__") and not callable(held)}
            for name, held in own.items():
                found |= contents(held, f"{kind.__name__}.{name}")
        return found

    def _scale(self, name: str) -> float:
        array = self.arrays.get(name.partition(" (input ")[0])
        return scale_of(array) if array is not None and array.dtype.kind == "f" else 1.0


def greatest(array: Any) -> float:
    """max|x| over what is finite."""
    size = float(np.max(np.abs(array), initial=0.0))
    return size if math.isfinite(size) else float(np.max(np.abs(_finite(array)), initial=0.0))


def _finite(array: Any) -> Array:
    found = np.asarray(array)
    return np.asarray(np.where(np.isfinite(found), found, 0), dtype=np.float64)


def _drawn(y: Any, draw: int, position: int) -> Any:
    array = np.asarray(y)
    if array.dtype.kind != "f":
        return np.zeros_like(array)
    return _few_digits(array.shape, array.dtype.str, draw, position).copy()[()]


@lru_cache(maxsize=64)
def _few_digits(shape: tuple[int, ...], dtype: str, draw: int, position: int) -> Array:
    numbers = np.random.default_rng([draw, position, math.prod(shape)]).standard_normal(shape)
    return np.asarray(np.round(numbers * _DIGITS) / _DIGITS, dtype=dtype)


def _copied(given: Any) -> Any:
    return given.copy() if isinstance(given, np.ndarray) else given
