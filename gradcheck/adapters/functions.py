"""Pairs of functions that hand on what backward needs.

out, cache = affine_forward(x, w, b)        dx, dw, db = affine_backward(dout, cache)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradcheck.adapters._caller import caller
from gradcheck.layers._base import Layer

Array = NDArray[Any]


def from_functions(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    *,
    parameters: Mapping[str, Any] | None = None,
    init: Callable[..., Mapping[str, Any]] | None = None,
    name: str | None = None,
) -> type[Layer]:
    """A pair of functions -> a class of layers without options, for a plugin or, called, for `check_layer`.

    forward     forward(x, w, b) -> (output, cache)
    backward    backward(dout, cache) -> (dx, dw, db): one gradient for each argument of forward, in their order
    parameters  the arguments that are parameters, by name, and their values; all others are inputs
    init        or how they are drawn: init(rng, x_shape) -> {name: array}
    name        what it is called in a spec and in reports; by default forward's name without `forward`

    TypeError where forward has no such argument.
    """
    if parameters is not None and init is not None:
        raise TypeError("give the parameters or say with `init` how they are drawn, not both")
    names = _positional(forward)
    for unknown in [given for given in parameters or () if given not in names]:
        raise TypeError(f"forward has no argument `{unknown}`; it takes {', '.join(names)}")
    name = name or _stem(forward)
    drawn = {key: np.array(value, dtype=float) for key, value in (parameters or {}).items()}
    members: dict[str, Any] = {
        "__doc__": inspect.getdoc(_innermost(forward)),
        "__module__": caller(),
        "adapted": {"forward": forward, "backward": backward},
        "spec_name": name,
        "names": tuple(names),
        "drawn": staticmethod(init or (lambda rng, *x_shapes: {key: value.copy() for key, value in drawn.items()})),
    }
    return type("".join(word.capitalize() for word in name.split("_")) or "Pair", (_Pair,), members)


class _Pair(Layer):
    """A layer around a pair of functions."""

    adapted: ClassVar[Mapping[str, Any]]
    names: ClassVar[tuple[str, ...]]
    drawn: ClassVar[Callable[..., Mapping[str, Any]]]

    def init(self, rng: np.random.Generator, *x_shapes: tuple[int, ...]) -> dict[str, Array]:
        """The parameters that were given, or what `init` draws."""
        return {name: np.asarray(array) for name, array in self.drawn(rng, *x_shapes).items()}

    def forward(self, *inputs: Any, **parameters: Any) -> tuple[Any, Any]:
        """Call forward with all of them in their places."""
        free = [name for name in self.names if name not in parameters]
        if len(inputs) > len(free):
            raise TypeError(f"forward takes the inputs {', '.join(free) or 'none'}, got {len(inputs)}")
        taken = {**dict(zip(free, inputs, strict=False)), **parameters}
        result = self.adapted["forward"](**{name: taken[name] for name in self.names if name in taken})
        if not isinstance(result, tuple) or len(result) != 2:
            return result  # said by whoever calls
        return result[0], (result[1], tuple(name for name in self.names if name in taken), tuple(parameters))

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        """Call backward, and say which gradient is whose."""
        kept, order, parameters = cache
        found = self.adapted["backward"](dy, kept)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(found) != len(order):
            raise ValueError(f"backward returned {len(found)} gradients; forward takes {', '.join(order)}")
        by_name = dict(zip(order, found, strict=True))
        dx = tuple(by_name[name] for name in order if name not in parameters)
        return dx if len(dx) != 1 else dx[0], {n: by_name[n] for n in parameters if by_name[n] is not None}


def _positional(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments that may be given, but those that `functools.partial` has given already."""
    given = function.keywords if isinstance(function, partial) else {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds and p.name not in given]


def _stem(forward: Callable[..., Any]) -> str:
    """`affine` for affine_forward or forward_affine."""
    name = getattr(_innermost(forward), "__name__", "")
    stem = name.replace("_forward", "").replace("forward_", "")
    return stem if stem.isidentifier() and stem != "forward" else "pair"


def _innermost(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function
