"""How many inputs a layer takes: what its forward takes by position, without what it draws for itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field

from gradcheck.calling import guarded
from gradcheck.layers._base import Layer, Shape
from gradcheck.spec._problems import counted

_MANY = 1000


class Drawn(Struct, frozen=True):
    """What a layer draws for inputs of given shapes: its parameters with their shapes, and its constants."""

    parameters: Mapping[str, Shape] = field(default_factory=dict)
    constants: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """All that forward takes by name."""
        return {*self.parameters, *self.constants}


def drawn_by(layer: Layer, shapes: Sequence[Shape], name: str, trusted: bool) -> Drawn | None:
    """What the layer draws; None where its init does not take as many inputs.

    ShapeError where the layer cannot work on the shapes, LayerFailure where it is the user's and raises.
    """
    kind, rng = type(layer), np.random.default_rng(0)
    if kind.init is Layer.init and kind.constants is Layer.constants:
        return Drawn()
    if not _binds(layer.init, shapes) or not _binds(layer.constants, shapes):
        return None
    with guarded(name, "check", trusted):
        layer.check(*shapes)
    with guarded(name, "init", trusted):
        parameters = {key: np.shape(array) for key, array in dict(layer.init(rng, *shapes)).items()}
    with guarded(name, "constants", trusted):
        constants = tuple(dict(layer.constants(rng, *shapes)))
    return Drawn(parameters, constants)


def inputs_of(layer: Layer, drawn: set[str]) -> range:
    """The numbers of inputs that forward can be called with."""
    least, most = 0, 0
    for parameter in inspect.signature(layer.forward).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            most = _MANY
        if parameter.kind > inspect.Parameter.POSITIONAL_OR_KEYWORD or parameter.name in drawn:
            break
        most += 1
        least += parameter.default is inspect.Parameter.empty
    return range(max(least, 1), most + 1)


def said(counts: range) -> str:
    """1 input; 2 inputs; 1 to 3 inputs; at least 2 inputs."""
    if counts.stop > _MANY:
        return f"at least {counted(counts.start, 'input')}"
    if len(counts) == 1:
        return counted(counts.start, "input")
    return f"{counts.start} to {counts.stop - 1} inputs"


def _binds(method: Callable[..., Any], shapes: Sequence[Shape]) -> bool:
    try:
        inspect.signature(method).bind(None, *shapes)
    except TypeError:
        return False
    return True
