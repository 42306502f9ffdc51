"""A backward pass from the loss to the inputs, layer by layer.

Everything that a backward returns is held against the contract here, so that a forgotten gradient, a wrong shape or a
NaN is named at the layer that produced it. What is missing or unusable is NaN in the result: it can never pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling import guarded
from gradcheck.errors import LayerFailure
from gradcheck.gradients._moves import copied_within, moved
from gradcheck.maths import is_finite
from gradcheck.network import Network, Node, Point, Term, Trace

Array = NDArray[Any]


#: What is left of a saturated layer, in roundings of its output.
_LOST = 2.0**10
#: Numbers that are no more than rounding beside the greatest of their array, in units of roundoff.
_DUST = 2.0**10


class Walk:
    """A backward pass on its way from the loss to the inputs."""

    def __init__(self, network: Network, point: Point, trace: Trace) -> None:
        self.network, self.point, self.trace = network, point, trace
        self.gradients: dict[str, Array] = {}
        self.contributions: dict[tuple[str, str], Array] = {}
        self.failures: list[LayerFailure] = []
        self.leaks: list[LayerFailure] = []
        dtypes = {point.arrays[name].dtype for name in (*point.parameters, *point.inputs)}
        self.base = max(map(_unit, dtypes))
        self.units: dict[str, float] = {}
        self.upstream = self.base

    def through_loss(self, position: int, term: Term, weight: float, reduction: str, seed: int | None) -> None:
        losses, cache = self.trace.losses[position], self.trace.loss_caches[position]
        if not term.elementwise and reduction != term.reduction:
            losses, cache = term.apply(self.trace.arrays, reduction)
        upstream = _upstream(term, weight, reduction, losses, self.trace.arrays)
        if seed is not None:
            upstream = moved(np.asarray(upstream), seed)[()]
        predictions = [self.trace.arrays[name] for name in term.predictions]
        try:
            result = _answer(term, term.loss.backward, upstream, cache)
        except LayerFailure as failure:
            self.failures.append(failure)
            result = tuple(None for _ in predictions)
        gradients = result if isinstance(result, tuple) else (result,)
        self._add_inputs(term.name, term.predictions, predictions, gradients)

    def through(self, node: Node) -> None:
        dy = [self._at(name) for name in node.outputs]
        inputs = [self.trace.arrays[name] for name in node.inputs]
        self.upstream = max([self.units.get(name, self.base) for name in node.outputs])
        dx, parameters = self._call(node, tuple(dy) if len(dy) > 1 else dy[0])
        single = tuple(None for _ in inputs) if parameters is None else (dx,)
        self._add_inputs(node.name, node.inputs, inputs, dx if isinstance(dx, tuple) else single)
        self._add_parameters(node, parameters)

    def _call(self, node: Node, dy: Any) -> tuple[Any, dict[str, Any] | None]:
        """(dx, gradients by parameter name); (None, None) where backward gave nothing that can be used."""
        try:
            result = _answer(node, node.backward, dy, self.trace.caches[node.name], self._frozen(node))
        except LayerFailure as failure:
            self.failures.append(failure)
            return None, None
        if isinstance(result, tuple) and len(result) == 2:
            dx, parameters = result
            if isinstance(parameters, (dict, Mapping)):
                return dx, dict(parameters)
        message = (
            f"{node.name}: backward did not return a pair (gradient of the input, gradients by parameter name); "
            "write `return dx, {...}`, with {} where there are no parameters"
        )
        self.failures.append(LayerFailure("GC120", node.name, "backward", message))
        return None, None

    def finished(self) -> dict[str, Array]:
        """Zeros where nothing arrived: what the loss does not depend on has no influence on it."""
        names = (*self.point.parameters, *self.point.inputs, *(o for n in self.network.nodes for o in n.outputs))
        for name in names:
            if name not in self.gradients:
                self._at(name)
        return self.gradients

    def _at(self, name: str) -> Array:
        if name not in self.gradients:
            self.units.setdefault(name, self.base)
            self.gradients[name] = np.zeros_like(self.trace.arrays[name])
        return self.gradients[name]

    def _add_inputs(self, where: str, names: Sequence[str], inputs: Sequence[Array], gradients: Sequence[Any]) -> None:
        if len(gradients) != len(inputs):
            message = f"{where}: backward returned {len(gradients)} input gradients for {len(inputs)} inputs"
            self.failures.append(LayerFailure("GC120", where, "backward", message))
            gradients = [None] * len(inputs)
        failed = bool(self.failures) and any(failure.node == where for failure in self.failures)
        for name, x, found in zip(names, inputs, gradients, strict=True):
            if x.dtype.kind != "f":
                continue
            if not _is_usual(found, x):
                found = self._sound(where, f"the gradient of its input {name}", x, found, failed, None)
            self._accumulate(where, name, found)

    def _add_parameters(self, node: Node, gradients: dict[str, Any] | None) -> None:
        failed = gradients is None
        found = gradients or {}
        frozen = self._frozen(node)
        for local, key in node.parameters.items():
            if local in frozen:
                self._require_nothing(node, local, found.get(local))
                continue
            array, gradient = node.turned(local, self.trace.arrays[key]), found.get(local)
            if not _is_usual(gradient, array):
                what = f"the gradient of `{local}`"
                if not failed and local not in found:
                    has = ", ".join(f"`{name}`" for name in found) or "none"
                    message = f"{key}: backward forgets {what}; the gradients that it returns: {has}"
                    self.failures.append(LayerFailure("GC108", node.name, "backward", message, key))
                gradient = self._sound(node.name, what, array, gradient, failed or local not in found, key)
            self._accumulate(node.name, key, node.turned(local, gradient))
        surplus = [name for name in found if name not in node.parameters]
        if surplus and all(local in found for local in node.parameters if local not in frozen):
            message = f"{node.name}: backward returns a gradient for {', '.join(surplus)}, which init does not return"
            self.failures.append(LayerFailure("GC120", node.name, "backward", message))

    def _frozen(self, node: Node) -> frozenset[str]:
        """Which of a layer's own parameters are frozen, by the names that forward uses."""
        if not self.point.frozen:
            return self.point.frozen
        return frozenset(local for local, key in node.parameters.items() if key in self.point.frozen)

    def _require_nothing(self, node: Node, local: str, found: Any) -> None:
        """A layer that is told which parameters are frozen gives them nothing. Elsewhere what it gives is discarded."""
        if not node.hears_of_frozen or found is None or (isinstance(found, np.ndarray | float) and not np.any(found)):
            return
        key = node.parameters[local]
        message = (
            f"{key}: backward is told that `{local}` is frozen, and returns a gradient for it all the same; "
            "leave it out, or return None or zeros"
        )
        self.leaks.append(LayerFailure("GC125", node.name, "backward", message, key))

    def _accumulate(self, where: str, name: str, gradient: Array) -> None:
        known = self.contributions.get((where, name))
        self.contributions[where, name] = gradient if known is None else known + gradient
        self.gradients[name] = self.gradients[name] + gradient if name in self.gradients else gradient
        self.units[name] = max(self.units.get(name, 0.0), self.upstream, _unit(gradient.dtype))

    def _sound(
        self, where: str, what: str, array: Array, found: Any, already_failed: bool, parameter: str | None
    ) -> Array:
        """The gradient as it was returned if it is usable, else NaN; says once what is wrong with it."""
        subject = parameter or where
        if found is None or not isinstance(found, (np.ndarray, np.generic, float)):
            if not already_failed:
                kind = "None" if found is None else type(found).__name__
                message = f"{subject}: backward returned {kind} for {what}; expected an array of shape {array.shape}"
                code = "GC108" if found is None else "GC505"
                self.failures.append(LayerFailure(code, where, "backward", message, parameter))
            return np.full_like(array, np.nan)
        gradient: Array = np.asarray(found)
        if gradient.dtype.kind not in "fiub":
            message = f"{subject}: {what} is an array of {gradient.dtype}; expected real numbers"
            self.failures.append(LayerFailure("GC505", where, "backward", message, parameter))
            return np.full_like(array, np.nan)
        if gradient.shape != array.shape:
            message = f"{subject}: {what} has shape {gradient.shape}; expected {array.shape}"
            self.failures.append(LayerFailure("GC120", where, "backward", message, parameter))
            return np.full_like(array, np.nan)
        if not is_finite(gradient) and not self._tainted():
            count = int(gradient.size - np.isfinite(gradient).sum())
            message = f"{subject}: {what} is NaN or Inf in {count} of {gradient.size} entries"
            self.failures.append(LayerFailure("GC115", where, "backward", message, parameter))
        return gradient

    def _tainted(self) -> bool:
        return any(failure.parameter is None for failure in self.failures)


class Rounded(Walk):
    """A pass in which a saturated layer rounds once more: what it adds to the gradient of x is off by

        u max|dy y| / max|x|

    Saturated is one of which, in a sample, nothing is left that is greater than that by far. So much changes the loss
    as one more rounding of y does, if x moves by its own size: less than that no backward can know that computes with
    y, as one that takes 1 - tanh² anew from an x at which tanh is 1. A sample of which x has nothing but the rounding
    of zeros beside the other samples (a constant image that was normalised) has no size of its own.
    """

    def __init__(self, network: Network, point: Point, trace: Trace, seed: int) -> None:
        super().__init__(network, point, trace)
        self.rng = np.random.default_rng(seed)
        self.size: Array | None = None

    def through(self, node: Node) -> None:
        outputs = [(self._at(name), y) for name in node.outputs if (y := self.trace.arrays[name]).dtype.kind == "f"]
        sizes = [_greatest(dy.astype(np.float64) * y) for dy, y in outputs]
        self.size = np.max(sizes, axis=0) if sizes else None
        super().through(node)

    def _accumulate(self, where: str, name: str, gradient: Array) -> None:
        x = self.trace.arrays[name]
        if self.size is not None and x.dtype.kind == "f":
            alike = x.ndim > 0 and len(x) == len(self.size) and name not in self.point.parameters
            size = np.asarray(self.size if alike else np.max(self.size, initial=0.0)) * _unit(gradient.dtype)
            own, found = (np.asarray(_greatest(a) if alike else np.max(np.abs(a), initial=0.0)) for a in (x, gradient))
            least = _DUST * _unit(x.dtype) * np.max(own, initial=0.0)
            lost = (own > least) & (found * own <= _LOST * size)
            if lost.any():
                off = np.divide(size, own, out=np.zeros_like(size), where=lost)
                off = np.where(np.isfinite(off), off, 0.0).reshape(-1, *[1] * (x.ndim - 1)) if alike else off
                gradient = (gradient + off * self.rng.choice([-1.0, 1.0], gradient.shape)).astype(gradient.dtype)
        super()._accumulate(where, name, gradient)


def _is_usual(found: Any, array: Array) -> TypeGuard[Array]:
    """Whether a gradient is what it nearly always is: an array like the one that it belongs to, and finite."""
    alike = type(found) is np.ndarray and found.dtype == array.dtype and found.shape == array.shape
    return alike and is_finite(found)


def _greatest(array: Array) -> Array:
    """The greatest size of each sample's numbers: (N,)."""
    return np.asarray(np.max(np.abs(array).reshape(len(array), -1), axis=1, initial=0.0), dtype=np.float64)


@cache
def _unit(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).eps) / 2 if dtype.kind == "f" else 0.0


def _upstream(term: Term, weight: float, reduction: str, losses: Any, arrays: Mapping[str, Array]) -> Any:
    """d objective / d losses: weight / divisor for each of them; the scalar weight for the reducing form."""
    if not term.elementwise:
        return np.asarray(losses).dtype.type(weight)
    dtype = losses.dtype
    if reduction == "none":
        return np.asarray(weight * arrays[term.contraction], dtype=dtype)
    divisor = term.divisor(reduction, arrays, losses.shape)
    assert divisor is not None
    return np.full(losses.shape, weight / divisor, dtype=dtype)


def _answer(of: Node | Term, backward: Callable[..., Any], *given: Any) -> Any:
    """What a backward returns. A plugin gets and gives copies, so that neither side can change what the other has."""
    if of.trusted:
        return backward(*given)
    with guarded(of.name, "backward", of.trusted):
        return copied_within(backward(*map(copied_within, given)))
