"""One forward and backward pass here and in PyTorch, and how far they are apart in units of rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from _trust.recipes import NoRecipe
from numpy.typing import NDArray

from _cross.draws import Draw, draw_layer, draw_loss
from _cross.layers import LAYERS
from _cross.rows import LOSSES, Row, Unlike
from gradcheck.gradients._moves import moved, moved_within

Array = NDArray[Any]
#: Unit roundoff by dtype.
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}
#: More roundings than this are a disagreement: a thousand, a relative 1e-13 or 6e-5, is beyond all sums drawn here.
MOST = 1000.0
#: An array below so many roundings of the greatest number in a draw is zero in truth, and rounding on both sides.
_NOTHING = 2.0**10
FOLDERS: dict[str, tuple[Mapping[str, Row], Callable[..., Draw]]] = {
    "layers": (LAYERS, draw_layer),
    "losses": (LOSSES, draw_loss),
}
_TRIES, _MOVES = 200, 4


@dataclass(frozen=True)
class Agreement:
    """All draws of one layer or loss.

    dtype    in which both sides computed
    arrays   outputs and gradients that were compared
    largest  the greatest disagreement, in roundings
    what     where that is: `output 0`, `gradient of weight`
    draw     of which draw
    missing  why there are none
    """

    folder: str
    name: str
    dtype: str
    draws: int = 0
    arrays: int = 0
    largest: float = 0.0
    what: str = ""
    draw: str = ""
    missing: str = ""

    @property
    def agrees(self) -> bool:
        """Whether something was compared, and nothing is further apart than rounding explains."""
        return bool(self.arrays) and self.largest <= MOST


def examine(folder: str, name: str, kind: Any, draws: int, seed: int, dtype: str = "float64") -> Agreement:
    """So many draws; each has its own random numbers, so that they are the same however many there are."""
    arrays, worst = 0, (-1.0, "", "")
    for number in range(draws):
        rng = np.random.default_rng([seed, number, *name.encode()])
        try:
            draw, found = _compared(folder, name, kind, rng, dtype)
        except NoRecipe as error:
            return Agreement(folder, name, dtype, number, arrays, missing=str(error))
        arrays += len(found)
        worst = max(worst, *((units, what, draw.said()) for what, units in found.items()))
    return Agreement(folder, name, dtype, draws, arrays, *worst)


def _compared(folder: str, name: str, kind: Any, rng: np.random.Generator, dtype: str) -> tuple[Draw, dict[str, float]]:
    rows, drawn = FOLDERS[folder]
    for _ in range(_TRIES):
        draw = drawn(name, kind, rng).rounded(dtype)
        try:
            ours = _ours(draw, rng)
            theirs = _theirs(rows[name], draw, ours)
        except Unlike:
            continue
        return draw, _apart(draw, ours, theirs, UNITS[dtype])
    raise NoRecipe(name, f"{_TRIES} draws, none of which PyTorch can do")


@dataclass(frozen=True)
class _Pass:
    """Outputs, their upstream gradients, and the gradients by `input 0` or by the parameter's name.

    rounding  by name of a gradient, its greatest change when what it is computed from moves by one unit in the last
              place: more than a rounding of its own size where something cancels in it
    """

    outputs: tuple[Array, ...]
    upstream: tuple[Array, ...]
    gradients: dict[str, Array | None]
    rounding: dict[str, float]


def _ours(draw: Draw, rng: np.random.Generator) -> _Pass:
    reduction = {"reduction": draw.reduction} if draw.reduction else {}
    y, cache = draw.unit.forward(*draw.inputs, **draw.named, **reduction)
    outputs = tuple(np.asarray(each) for each in _several(y))
    upstream = tuple(np.asarray(rng.standard_normal(each.shape), each.dtype) for each in outputs)

    def backward(dy: tuple[Array, ...], kept: Any) -> dict[str, Any]:
        found = draw.unit.backward(dy if isinstance(y, tuple) else dy[0][()], kept)
        dx, gradients = found if draw.is_layer else (found, {})
        return {**_numbered(_several(dx)), **gradients}

    gradients = backward(upstream, cache)
    rounding = dict.fromkeys(gradients, 0.0)
    for seed in range(_MOVES):
        near = backward(tuple(moved(dy, seed) for dy in upstream), moved_within(cache, seed))
        for name, gradient in gradients.items():
            if gradient is not None:
                change = float(np.max(np.abs(near[name] - gradient), initial=0.0))
                rounding[name] = max(rounding[name], change)
    return _Pass(outputs, upstream, gradients, rounding)


def _theirs(row: Row, draw: Draw, ours: _Pass) -> _Pass:
    import torch

    inputs = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in draw.inputs]
    named = {name: torch.tensor(array) for name, array in draw.named.items()}
    learned = {name: named[name].requires_grad_() for name in draw.learned}
    weight = named.pop("sample_weight", None)
    reduction = {"reduction": draw.reduction} if draw.reduction else {}
    y = _several(row(torch, draw.unit, *inputs, **named, **reduction))
    if weight is not None:
        y = (weight.reshape(-1, *[1] * (y[0].ndim - 1)) * y[0],)
    outputs = getattr(draw.unit, "output_weight", None)
    if outputs is not None:
        y = (torch.tensor(outputs, dtype=y[0].dtype) * y[0],)
    torch.autograd.backward(y, [torch.tensor(dy) for dy in ours.upstream])
    found = {**_numbered(tuple(inputs)), **learned}
    gradients = {name: None if leaf.grad is None else leaf.grad.numpy() for name, leaf in found.items()}
    return _Pass(tuple(each.detach().numpy() for each in y), ours.upstream, gradients, {})


def _apart(draw: Draw, ours: _Pass, theirs: _Pass, unit: float) -> dict[str, float]:
    """In roundings, by what is compared. What one side has and the other has not is infinitely far away."""
    if len(ours.outputs) != len(theirs.outputs) or ours.gradients.keys() != theirs.gradients.keys():
        return {"what there is": float("inf")}
    outputs = {f"output {k}": pair for k, pair in enumerate(zip(ours.outputs, theirs.outputs, strict=True))}
    gradients = {name: (gradient, theirs.gradients[name]) for name, gradient in ours.gradients.items()}
    everything = [*draw.inputs, *draw.named.values(), *ours.upstream, *theirs.outputs, *theirs.gradients.values()]
    greatest = max(_size(array) for array in everything if array is not None)
    found = {what: _roundings(a, b, unit, greatest, 0.0) for what, (a, b) in outputs.items()}
    for name, (a, b) in gradients.items():
        if a is not None or b is not None:
            found[f"gradient of {name}"] = _roundings(a, b, unit, greatest, ours.rounding[name])
    return found


def _roundings(a: Array | None, b: Array | None, unit: float, greatest: float, rounding: float) -> float:
    """The greatest difference, in units of rounding of the size of b, or of the measured rounding if that is more."""
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype or not np.isfinite(a).all():
        return float("inf")
    size = _size(b) if _size(b) > _NOTHING * unit * greatest else greatest
    difference = _size(a - b)
    return difference / max(unit * size, rounding) if difference else 0.0


def _size(array: Array) -> float:
    """The greatest number; of integers and booleans, none."""
    return float(np.max(np.abs(array), initial=0.0)) if array.dtype.kind == "f" else 0.0


def _numbered(arrays: tuple[Any, ...]) -> dict[str, Any]:
    return {f"input {k}": array for k, array in enumerate(arrays)}


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)
