"""Draws a layer or a loss of the catalogue with random options, by what the types of its options allow.

No list of layers is kept here: an option is drawn from its type and its limits, a few from the shape of the input, and
what does not fit on the shape in question is refused by the layer's own `check` and drawn again. So a layer that is
added later is drawn as well; one that never fits, or that has an option of a type that is unknown here, is named by
`NoRecipe`.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import cache, partial
from itertools import takewhile
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from gradcheck.calling import positional_names
from gradcheck.catalogue import Catalogue
from gradcheck.errors import ShapeError
from gradcheck.layers._base import Layer
from gradcheck.losses._base import ELEMENTWISE_REDUCTIONS, Loss
from gradcheck.naming import spec_name

Array = NDArray[Any]
Shape = tuple[int, ...]
#: Options that are sizes of the output: drawn from these ranges, different from every size that the net has already.
SIZES = {
    "out_features": (2, 13),
    "out_channels": (2, 6),
    "hidden_size": (2, 6),
    "num_embeddings": (4, 9),
    "embedding_dim": (2, 6),
}
#: Integers that are drawn as input lie below this: in every table of embeddings.
INTEGERS = SIZES["num_embeddings"][0]
#: How far above its least value a whole number is drawn, and the range of one without limits.
_SPAN, _UNLIMITED = 2, (-3, 3)
#: What losses take by name beside the predictions.
DATA_NAMES = ("target", "sample_weight", "mask", "input_lengths", "target_lengths")
#: Options of losses that have a number for each entry of an axis of the prediction: the option's own, or the last.
_ALONG_AN_AXIS = ("output_weight", "class_weight", "pos_weight")


class NoRecipe(Exception):  # noqa: N818 - a finding about this benchmark: a layer that it cannot draw
    """A layer or loss of the catalogue that cannot be drawn, by its name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} has no recipe: {reason}")
        self.name = name


class Sizes:
    """Draws sizes that differ from each other as long as the range has unused ones."""

    def __init__(self, rng: np.random.Generator, used: Iterable[int] = ()) -> None:
        self.rng, self.used = rng, set(used)

    def draw(self, low: int, high: int) -> int:
        """One size from low to high."""
        unused = [size for size in range(low, high + 1) if size not in self.used]
        size = int(self.rng.choice(unused or range(low, high + 1)))
        self.used.add(size)
        return size


class Units:
    """The classes of all layers and losses, by their names in a spec."""

    def __init__(self, layers: Mapping[str, type[Layer]], losses: Mapping[str, type[Loss]]) -> None:
        self.layers, self.losses = layers, losses

    @classmethod
    def of_catalogue(cls) -> Units:
        """Every layer and loss that ships with gradcheck."""
        catalogue = Catalogue()
        found: dict[str, dict[str, Any]] = {
            folder: {name: catalogue.find(folder, name) for name in catalogue.names(folder)}
            for folder in ("layers", "losses")
        }
        return cls(found["layers"], found["losses"])


def options(kind: type[Any]) -> tuple[Field[Any], ...]:
    """The options of a layer or a loss."""
    return fields(kind) if is_dataclass(kind) else ()


def draw_unit(kind: Any, sizes: Sizes, shape: Shape = ()) -> Any:
    """An instance with random options; half of the options that have a default keep it.

    shape  that of the input, for the options that depend on it
    """
    hints = _hints(kind)
    given = {}
    for option in options(kind):
        if option.default is not MISSING and sizes.rng.random() < 0.5:
            continue
        if option.name in SIZES:
            given[option.name] = sizes.draw(*SIZES[option.name])
            continue
        if option.name in FITTED and len(shape) > 1:
            given[option.name] = FITTED[option.name](sizes.rng, shape[1:])
            continue
        try:
            given[option.name] = _draw(hints[option.name], sizes.rng)
        except TypeError as error:
            raise NoRecipe(spec_name(kind), f"option `{option.name}`: {error}") from None
    return _weighing(kind(**given), sizes.rng, shape)


def _weighing(unit: Any, rng: np.random.Generator, shape: Shape) -> Any:
    """The unit with as many output or class weights, where it has any, as a prediction of this shape has of them."""
    axis = getattr(unit, "axis", -1)
    if not -len(shape) <= axis < len(shape):
        return unit
    drawn = [name for name in _ALONG_AN_AXIS if isinstance(getattr(unit, name, None), tuple)]
    weights = {name: tuple(rng.uniform(0.2, 2.0, shape[axis]).tolist()) for name in drawn}
    return replace(unit, **weights) if weights else unit


def _last_axes(rng: np.random.Generator, sample: Shape) -> int | Shape:
    """The sizes of the last axes; of the last one alone now and then as a number."""
    count = int(rng.integers(1, len(sample) + 1))
    return sample[-1] if count == 1 and rng.random() < 0.5 else sample[-count:]


def _other_shape(rng: np.random.Generator, sample: Shape) -> Shape:
    """The prime factors of the size, gathered in one to three axes; one of these now and then as -1."""
    shape = [1] * int(rng.integers(1, 4))
    left, factor = math.prod(sample), 2
    while left > 1:
        if left % factor:
            factor += 1
            continue
        shape[int(rng.integers(len(shape)))] *= factor
        left //= factor
    if rng.random() < 0.5:
        shape[int(rng.integers(len(shape)))] = -1
    return tuple(shape)


def _sections(rng: np.random.Generator, sample: Shape) -> int | Shape:
    """Sizes of the parts of one of the axes: one number for all, or each."""
    size = int(rng.choice(sample))
    cut = int(rng.integers(1, max(2, size)))
    return cut if rng.random() < 0.5 else (cut, max(1, size - cut))


#: Options that must fit the input: drawn from the shape of one sample.
FITTED: dict[str, Callable[[np.random.Generator, Shape], Any]] = {
    "normalized_shape": _last_axes,
    "shape": _other_shape,
    "split_size_or_sections": _sections,
}


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _draw(hint: Any, rng: np.random.Generator, limits: tuple[Meta, ...] = ()) -> Any:
    """A value of the annotated type, inside the limits of its msgspec.Meta."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _draw(arguments[0], rng, (*limits, *(m for m in arguments[1:] if isinstance(m, Meta))))
    if origin in (Union, types.UnionType):
        return _draw(arguments[int(rng.integers(len(arguments)))], rng, limits)
    if origin is Literal:
        return arguments[int(rng.integers(len(arguments)))]
    if origin is tuple:
        length = next((m.min_length for m in limits if m.min_length), len(arguments))
        each = arguments[:1] * length if Ellipsis in arguments else arguments
        return tuple(_draw(argument, rng) for argument in each)
    drawn_by = _SCALARS.get(hint)
    if drawn_by is None:
        raise TypeError(f"values of the type {hint} cannot be drawn")
    return drawn_by(rng, limits)


def _whole(rng: np.random.Generator, limits: tuple[Meta, ...]) -> int:
    low = _limit(limits, "ge", "gt", 1)
    high = _limit(limits, "le", "lt", -1)
    if low is None and high is None:
        low, high = _UNLIMITED
    low = high - _SPAN if low is None and high is not None else low
    high = low + _SPAN if high is None and low is not None else high
    return int(rng.integers(int(low or 0), int(high or 0) + 1))


def _real(rng: np.random.Generator, limits: tuple[Meta, ...]) -> float:
    """Uniform between two limits, log-normal above one, normal without; 1, a special case for many layers, as well."""
    low, high = _limit(limits, "ge", "gt", 0), _limit(limits, "le", "lt", 0)
    if low is not None and high is not None:
        return float(rng.uniform(low, high))
    if low is not None:
        return float(low + rng.choice([1.0, np.exp(rng.normal())]))
    return float(rng.choice([1.0, rng.normal()]))


def _limit(limits: tuple[Meta, ...], inclusive: str, exclusive: str, step: int) -> float | None:
    for meta in limits:
        if getattr(meta, inclusive) is not None:
            return float(getattr(meta, inclusive))
        if getattr(meta, exclusive) is not None:
            return float(getattr(meta, exclusive)) + step
    return None


_SCALARS: dict[Any, Callable[[np.random.Generator, tuple[Meta, ...]], Any]] = {
    bool: lambda rng, limits: bool(rng.random() < 0.5),
    int: _whole,
    float: _real,
    str: lambda rng, limits: "*",
    type(None): lambda rng, limits: None,
}


def arity(layer: Layer, shape: Shape) -> int:
    """How many inputs of this shape forward takes: its first arguments, up to one that `init` or `constants` draws.

    ShapeError where the layer does not fit on the shape.
    """
    kind = type(layer)
    names = _positional(kind)
    for count in range(1, max(2, len(names)) + 1):
        shapes = [shape] * count
        if not _binds(kind, "init", count) or not _binds(kind, "constants", count):
            continue
        layer.check(*shapes)
        rng = np.random.default_rng(0)
        drawn = {*layer.init(rng, *shapes), *layer.constants(rng, *shapes)}
        inputs = list(takewhile(lambda name, drawn=drawn: name not in drawn, names))  # type: ignore[misc]
        if len(inputs) == count or (not names and count == 2):
            return count
    raise NoRecipe(spec_name(kind), "the number of its inputs is not clear from forward and init")


def more_inputs(layer: Layer) -> bool:
    """Whether forward takes any number of further inputs."""
    kinds = [parameter.kind for parameter in _taken(type(layer)).values()]
    return inspect.Parameter.VAR_POSITIONAL in kinds


@cache
def reads_integers(kind: type[Layer]) -> bool:
    """Whether a layer takes an array of integers and refuses real numbers."""
    ids = np.ones((2, 3), int)
    with suppress(NoRecipe, ShapeError):
        layer = draw_unit(kind, Sizes(np.random.default_rng(0)), ids.shape)
        if arity(layer, ids.shape) == 1:
            return _takes_array(layer, ids) and not _takes_array(layer, ids.astype(float))
    return False


def _takes_array(layer: Layer, x: Array) -> bool:
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"), suppress(ShapeError):
        layer.forward(x, **layer.init(rng, x.shape), **layer.constants(rng, x.shape))
        return True
    return False


@cache
def _binds(kind: type[Layer], method: str, count: int) -> bool:
    """Whether the method takes the shapes of so many inputs, behind self and a generator."""
    try:
        inspect.signature(getattr(kind, method)).bind(None, None, *[()] * count)
    except TypeError:
        return False
    return True


@cache
def _taken(kind: type[Layer | Loss]) -> Mapping[str, inspect.Parameter]:
    """What forward takes behind self, by name."""
    return inspect.signature(partial(kind.forward, None)).parameters


@cache
def _positional(kind: type[Layer | Loss]) -> list[str]:
    return positional_names(partial(kind.forward, None))


def predictions(loss: Loss) -> int:
    """How many predictions a loss takes by position."""
    return max(1, sum(name not in (*DATA_NAMES, "reduction") for name in _positional(type(loss))))


def takes(loss: Loss, name: str) -> bool:
    """Whether a loss takes this array by name."""
    return name in _taken(type(loss))


def reductions(loss: Loss) -> tuple[str, ...]:
    """The reductions that a loss can be drawn with."""
    return loss.reductions or ELEMENTWISE_REDUCTIONS


def targets(rng: np.random.Generator, shape: Shape) -> list[Array]:
    """One target of each kind for predictions of this shape, in random order.

    For each number reals, probabilities, bits and signs; a bit and a sign for each sample; classes, some of them
    ignored, and distributions along each axis; a sequence of classes for each sample.
    """
    found: list[Array] = [
        rng.standard_normal(shape),
        rng.random(shape),
        rng.integers(0, 2, shape),
        2 * rng.integers(0, 2, shape) - 1,
        rng.integers(0, 2, shape[:1]),
        2 * rng.integers(0, 2, shape[:1]) - 1,
    ]
    for axis in range(1, len(shape)):
        others = (*shape[:axis], *shape[axis + 1 :])
        classes = rng.integers(0, shape[axis], others)
        ignored = rng.random(others) < 0.3
        distributions = rng.random(shape)
        found += [classes, np.where(ignored, -100, classes), distributions / distributions.sum(axis, keepdims=True)]
    if len(shape) == 3 and shape[2] > 1:
        found.append(rng.integers(1, shape[2], (shape[0], max(1, shape[1] // 2))))
    return [found[int(k)] for k in rng.permutation(len(found))]
