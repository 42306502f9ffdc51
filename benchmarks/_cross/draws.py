"""Draws a layer or a loss with random options, and everything that its forward takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from _trust.inputs import PRECEDED, Fresh, sources
from _trust.recipes import (
    INTEGERS,
    NoRecipe,
    Sizes,
    draw_unit,
    predictions,
    reads_integers,
    reductions,
    takes,
    targets,
)
from numpy.typing import NDArray

from gradcheck.errors import ShapeError

Array = NDArray[Any]
_ATTEMPTS = 2000
#: Real numbers, and those between 0 and 1.
_DOMAINS = (lambda rng, shape: rng.standard_normal(shape), lambda rng, shape: rng.uniform(0.01, 0.99, shape))


@dataclass(frozen=True)
class Draw:
    """One layer or loss.

    inputs     what forward takes by position
    named      what it takes by name
    learned    the names among these that have a gradient
    is_layer   whether backward gives gradients of parameters, too
    reduction  of a loss that reduces by itself
    """

    unit: Any
    inputs: tuple[Array, ...]
    named: dict[str, Array]
    learned: tuple[str, ...] = ()
    is_layer: bool = True
    reduction: str | None = None

    def rounded(self, dtype: str) -> Draw:
        """The same, with its real numbers in this precision."""
        named = {name: _rounded(array, dtype) for name, array in self.named.items()}
        return replace(self, inputs=tuple(_rounded(x, dtype) for x in self.inputs), named=named)

    def said(self) -> str:
        """The layer with its options, and the shapes of what it takes."""
        named = [f"{name} {array.shape}" for name, array in self.named.items() if name not in self.learned]
        reduction = [f"reduction {self.reduction}"] if self.reduction else []
        return f"{self.unit} of {', '.join([*(str(x.shape) for x in self.inputs), *named, *reduction])}"


def draw_layer(name: str, kind: Any, rng: np.random.Generator) -> Draw:
    """A layer on inputs that it takes. NoRecipe where nothing that is drawn here fits."""
    integers = reads_integers(kind)
    for _ in range(_ATTEMPTS):
        shape = _shape(rng)
        layer = draw_unit(kind, Sizes(rng), shape)
        try:
            found = sources(rng, layer, shape)
            inputs = tuple(
                source.array if isinstance(source, Fresh) else _numbers(rng, name, layer, shape) for source in found
            )
            inputs = (rng.integers(0, INTEGERS, shape),) if integers else inputs
            shapes = [x.shape for x in inputs]
            layer.check(*shapes)
            learned = layer.init(rng, *shapes)
            named = {**learned, **layer.constants(rng, *shapes)}
            layer.forward(*inputs, **named)
        except ShapeError:
            continue
        return Draw(layer, inputs, named, tuple(learned))
    raise NoRecipe(name, f"{_ATTEMPTS} draws, all in vain")


def draw_loss(name: str, kind: Any, rng: np.random.Generator) -> Draw:
    """A loss with predictions, a target that it accepts, and sample weights half of the time."""
    for _ in range(_ATTEMPTS):
        shape = _shape(rng)
        loss = draw_unit(kind, Sizes(rng), shape)
        inputs = tuple(rng.choice(_DOMAINS)(rng, shape) for _ in range(predictions(loss)))
        data: dict[str, Array] = {}
        if takes(loss, "sample_weight") and rng.random() < 0.5:
            data["sample_weight"] = rng.uniform(0.5, 2, shape[0])
        reduction = str(rng.choice(reductions(loss))) if loss.reductions else None
        for target in targets(rng, shape) if takes(loss, "target") else [None]:
            named = data if target is None else {**data, "target": target}
            try:
                loss.check_values(*inputs)
                loss.check(*[p.shape for p in inputs], **named)
            except ShapeError:
                continue
            return Draw(loss, inputs, named, is_layer=False, reduction=reduction)
    raise NoRecipe(name, f"{_ATTEMPTS} draws, all in vain")


def _rounded(array: Array, dtype: str) -> Array:
    return array.astype(dtype) if array.dtype.kind == "f" else array


def _numbers(rng: np.random.Generator, name: str, layer: Any, shape: tuple[int, ...]) -> Array:
    """Normal numbers, or positive ones; for an elementwise layer of any size up to saturation, some of them zero.

    One number is 1 there: what is lost of the others where a slope vanishes is lost beside one that does not.
    """
    x: Array = rng.standard_normal(shape)
    if name in PRECEDED:
        return np.exp(x)
    if layer.elementwise:
        x = np.where(rng.random(shape) < 0.1, 0.0, 10 ** rng.uniform(-1, 1.5) * x)
        x.flat[0] = 1.0
    return x


def _shape(rng: np.random.Generator) -> tuple[int, ...]:
    """The batch and one to four axes behind it, shorter ones where there are four."""
    axes = int(rng.integers(1, 5))
    return tuple(int(size) for size in (rng.integers(1, 5), *rng.integers(1, 8 if axes < 4 else 5, axes)))
