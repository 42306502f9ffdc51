"""Layers that keep what their backward needs.

    y = layer.forward(x)        dx = layer.backward(dy)        layer.params, layer.grads

This is the form of many courses and home-made frameworks. It becomes a layer in one line, and is then held to all that
a layer is held to: it is called on copies of itself, each with the parameters that it is to have, and no copy is called
twice.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradcheck.adapters._caller import caller
from gradcheck.layers._base import Layer

Array = NDArray[Any]
Names = str | Sequence[str]
#: What the gradient of W may be called.
_GRADIENT_NAMES = ("{}", "d{}", "grad_{}", "{}_grad", "d_{}")
_DEEPEST = 8


def from_stateful(layer: Any, *, params: Names = "params", grads: Names = "grads", name: str | None = None) -> Any:
    """A stateful layer -> a layer; the class of one -> a class of layers, for a plugin, with its arguments as options.

    layer   has forward(x) -> y and backward(dy) -> dx, and keeps what is between them
    params  the attribute (or method) that has the parameters, as a dictionary, list or tuple of arrays; or the names of
            the attributes that are the parameters themselves, such as ("W", "b")
    grads   the same for the gradients, in the parameters' order; looked at after backward. In a dictionary the gradient
            of W may be called W, dW or grad_W
    name    what it is called in a spec and in reports; by default its class in snake_case

    Without `params`, the attributes W that have a dW (or grad_W) beside them are the parameters. TypeError where it
    cannot be told what a layer learns.
    """
    kind: Any = layer if inspect.isclass(layer) else type(layer)
    for method in ("forward", "backward"):
        if not callable(getattr(kind, method, None)):
            raise TypeError(f"{kind.__name__} has no `{method}`; a stateful layer has forward(x) and backward(dy)")
    title = kind.__name__.lstrip("_")
    members: dict[str, Any] = {
        "__doc__": kind.__doc__,
        "__module__": caller() if inspect.isclass(layer) else kind.__module__,
        "adapted": {"forward": kind.forward, "backward": kind.backward},
        "where": _Where(kind.__name__, params, grads),
        **({"spec_name": name} if name else {}),
    }
    if not inspect.isclass(layer):
        adapted = type(title, (_Stateful,), members)()
        adapted.take(layer)
        return adapted
    members["kind"] = kind
    made = dataclasses.make_dataclass(title, _options(kind), bases=(_Built,), namespace=members, frozen=True)
    made.__module__ = members["__module__"]
    return made


@dataclasses.dataclass(frozen=True)
class _Where:
    """Where a stateful layer has its parameters and gradients."""

    owner: str
    params: Names
    grads: Names

    def parameters(self, layer: Any) -> dict[str, Array]:
        """The arrays themselves, by name."""
        found = self._found(layer)
        for name, array in found.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise TypeError(f"the parameter `{name}` of {self.owner} is {kind}; expected a NumPy array of floats")
        return found

    def _found(self, layer: Any) -> dict[str, Any]:
        if not isinstance(self.params, str):
            return {name: getattr(layer, name) for name in self.params}
        if hasattr(layer, self.params):
            return self._named(layer, _called(getattr(layer, self.params)))
        return self._told_by_gradients(getattr(layer, "__dict__", {}))

    def _told_by_gradients(self, held: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes that have a gradient beside them."""
        own = {name: a for name, a in held.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"}
        learnt = {name: a for name, a in own.items() if any(g in held for g in _gradients_of(name))}
        gradients = {g for name in learnt for g in _gradients_of(name)}
        unclear = sorted(own.keys() - learnt.keys() - gradients)
        if unclear:
            raise TypeError(
                f"{self.owner} has no `{self.params}`, so it cannot be told whether it learns {', '.join(unclear)}; "
                f"say so: from_stateful(layer, params=('{unclear[0]}',), grads=('d{unclear[0]}',)), or params=() if not"
            )
        return learnt

    def _named(self, layer: Any, held: Any) -> dict[str, Any]:
        if isinstance(held, Mapping):
            return {str(name): array for name, array in held.items()}
        if not isinstance(held, list | tuple):
            found = type(held).__name__
            raise TypeError(f"`{self.params}` of {self.owner} is {found}; expected a dictionary or a list of arrays")
        names = {id(array): name for name, array in getattr(layer, "__dict__", {}).items()}
        return {names.get(id(array), f"parameter_{k}"): array for k, array in enumerate(held)}

    def gradients(self, layer: Any, names: Sequence[str]) -> dict[str, Any]:
        """The gradients that are there, by the parameters' names."""
        if not isinstance(self.grads, str):
            held: Any = [getattr(layer, name, None) for name in self.grads]
        elif hasattr(layer, self.grads):
            held = _called(getattr(layer, self.grads))
        else:
            own = getattr(layer, "__dict__", {})
            held = {g: own[g] for name in names for g in _gradients_of(name) if g in own}
        if not isinstance(held, Mapping):
            held = dict(zip(names, held or (), strict=False))
        found = {n: next((held[f.format(n)] for f in _GRADIENT_NAMES if f.format(n) in held), None) for n in names}
        known = {form.format(n) for n in names for form in _GRADIENT_NAMES}
        found |= {key: array for key, array in held.items() if key not in known}
        return {name: array for name, array in found.items() if array is not None}


class _Stateful(Layer):
    """A layer around a stateful one."""

    adapted: ClassVar[Mapping[str, Any]]
    where: ClassVar[_Where]

    def take(self, layer: Any) -> None:
        """Adapt this one."""
        self.__dict__["_layer"] = layer
        own = self.where.parameters(layer)
        for array in _arrays(layer):
            for name, parameter in own.items():
                if array is not parameter and np.may_share_memory(array, parameter):
                    raise TypeError(
                        f"{self.where.owner} holds a view of its parameter `{name}`, which would not follow when the "
                        "parameter is replaced; let it use one array for each parameter"
                    )
        others = {name: array.copy() for name, array in own.items()}
        replaced = self.where.parameters(_replaced(layer, [(own[name], others[name]) for name in own]))
        for name, held in replaced.items():
            if held is not others.get(name):
                raise TypeError(
                    f"`{self.where.params}` of {self.where.owner} gives copies of `{name}`, so it cannot be moved; let "
                    "it give the array that the layer uses"
                )

    @property
    def layer(self) -> Any:
        """What is adapted. It is never called itself."""
        return self.__dict__["_layer"]

    def init(self, rng: np.random.Generator, *x_shapes: tuple[int, ...]) -> dict[str, Array]:
        """Its own parameters."""
        return {name: np.array(array, dtype=np.float64) for name, array in self.where.parameters(self.layer).items()}

    def forward(self, *inputs: Any, **parameters: Any) -> tuple[Any, Any]:
        """Call forward on a copy that has these parameters, and no gradients yet."""
        own = self.where.parameters(self.layer)
        pairs = [(own[name], array) for name, array in parameters.items()]
        held = self.where.gradients(self.layer, tuple(own)).values()
        pairs += [(a, np.zeros_like(a)) for a in held if isinstance(a, np.ndarray)]
        layer = _replaced(self.layer, pairs)
        y = layer.forward(*inputs)
        held = self.where.gradients(layer, tuple(own)).values()
        kept = [array for array in _arrays(layer) if not any(array is gradient for gradient in held)]
        return y, (kept, _Kept(layer, kept), tuple(parameters))

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        """Call backward on a copy of the copy."""
        given, kept, names = cache
        layer = _replaced(kept.layer, list(zip(kept.arrays, given, strict=True)))
        dx = layer.backward(dy)
        return dx, self.where.gradients(layer, names)


class _Built(_Stateful):
    """The same for a class, whose arguments are the options; whatever it draws from numpy.random follows the seed."""

    kind: ClassVar[Any]

    def __post_init__(self) -> None:
        self.take(self._build(0))

    def init(self, rng: np.random.Generator, *x_shapes: tuple[int, ...]) -> dict[str, Array]:
        """Those of an instance of its own, drawn from the layer's seed."""
        built = self._build(int(rng.integers(2**32)))
        return {name: np.array(array, dtype=np.float64) for name, array in self.where.parameters(built).items()}

    def _build(self, seed: int) -> Any:
        options: Any = self
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            return self.kind(**{item.name: getattr(self, item.name) for item in dataclasses.fields(options)})
        finally:
            np.random.set_state(state)


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """A layer behind its forward, and the arrays in it."""

    layer: Any
    arrays: list[Array]

    def __call__(self) -> None:
        """Callable, so that nobody looks into it for what a backward may change: a copy of it is all that is called."""


def _replaced(layer: Any, pairs: Sequence[tuple[Array, Any]]) -> Any:
    """A copy of everything in which, wherever one of the old arrays is held, the new one is."""
    return copy.deepcopy(layer, {id(old): new for old, new in pairs})


def _arrays(thing: Any, above: tuple[int, ...] = ()) -> Iterator[Array]:
    """All arrays of real numbers in attributes, dictionaries, lists and tuples, each once."""
    found: dict[int, Array] = {}
    for part in _parts(thing):
        if isinstance(part, np.ndarray):
            found |= {id(part): part} if part.dtype.kind in "fc" else {}
        elif id(part) not in above and len(above) < _DEEPEST:
            found |= {id(array): array for array in _arrays(part, (*above, id(part)))}
    yield from found.values()


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, list | tuple):
        yield from thing
    elif not isinstance(thing, type) and not callable(thing):
        yield from getattr(thing, "__dict__", {}).values()


def _gradients_of(name: str) -> list[str]:
    """What an attribute beside W may be called that is its gradient."""
    return [form.format(name) for form in _GRADIENT_NAMES[1:]]


def _called(held: Any) -> Any:
    return held() if callable(held) else held


def _options(kind: Any) -> list[tuple[str, Any, Any]]:
    """The arguments of a class as fields of a dataclass."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = []
    for argument in inspect.signature(kind).parameters.values():
        if argument.kind in variable:
            continue
        hint = Any if argument.annotation is argument.empty else argument.annotation
        default: Any = {} if argument.default is argument.empty else {"default_factory": lambda v=argument.default: v}
        if default and argument.default.__hash__ is not None:
            default = {"default": argument.default}
        found.append((argument.name, hint, dataclasses.field(**default)))
    return found
