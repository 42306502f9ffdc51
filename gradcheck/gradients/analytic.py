"""The analytic witness: the gradient that the layers' own backward passes give.

Everything that a backward returns is held against the contract here, so that a forgotten gradient, a wrong shape or a
NaN is named at the layer that produced it. What is missing or unusable is NaN in the result: it can never pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients._moves import moved, moved_within, wider, wider_type
from gradcheck.gradients._pieces import all_pieces, pieces, same_pieces
from gradcheck.network import Network, Node, Point, Term, Trace, guarded

Array = NDArray[Any]


@dataclass(frozen=True)
class Analytic:
    """One backward pass.

    gradients      by name of the parameter, the input or the activation; of the array's shape
    contributions  what one layer (or `loss`) alone has added to them, by (layer, name)
    units          by name, unit roundoff of the narrowest precision that a backward on the way to it has answered in
    failures       what the layers' backward passes did against the contract, nearest to the loss first
    trace          the forward pass that it belongs to
    """

    gradients: Mapping[str, Array]
    contributions: Mapping[tuple[str, str], Array]
    units: Mapping[str, float]
    failures: tuple[LayerFailure, ...]
    trace: Trace

    @property
    def unit(self) -> float:
        """Unit roundoff of the narrowest precision that any backward has answered in."""
        return max(self.units.values())


@dataclass(frozen=True)
class Objective:
    """Which scalar is differentiated: every term as declared, or one term under a reduction of choice.

    term       position of the term; None: all terms, each with its weight
    reduction  None: the term's own
    """

    term: int | None = None
    reduction: str | None = None

    def weight(self, position: int, term: Term) -> float:
        """Factor of a term."""
        if self.term is None:
            return term.weight
        return 1.0 if position == self.term else 0.0


DECLARED = Objective()


def gradient(network: Network, point: Point, objective: Objective = DECLARED) -> Analytic:
    """Gradient of the objective with respect to every parameter, input and activation, in the point's precision."""
    trace = network.forward(point)
    return _backward(network, point, trace, objective, seed=None)


@dataclass(frozen=True)
class Spread:
    """s, the rounding of one analytic gradient, measured in two ways; of the gradient's shape.

    moved  its greatest change when all inputs, parameters and upstream gradients move by one unit in the last place, or
           what the forward passes keep for the backward ones instead: those numbers are rounded, and some stay as they
           are whatever the inputs do (a softmax of 1)
    wide   its distance from the same backward in a wider precision, which also sees what such moves leave alone
           (1 - y² at y = 1), and takes the same branches
    value  that gradient in the wider precision
    unit   unit roundoff of the narrowest precision that a backward has answered in there
    """

    moved: Array
    wide: Array
    value: Array
    unit: float

    @property
    def greatest(self) -> Array:
        """The greater of the two, entry by entry."""
        return np.maximum(self.moved, self.wide)


def spread(network: Network, point: Point, base: Analytic, draws: int = 4) -> dict[str, Spread]:
    """The rounding of every gradient, by name.

    The batch keeps its order: a backward that follows one sample only would change with the order too, and its mistake
    would pass for rounding. A move after which a unit is on another piece of a piecewise function says nothing about
    rounding: there the moved gradient is held against its own wider precision instead, and does not count where that
    one is on other pieces, too.
    """
    on = all_pieces(network, base.trace.arrays)
    changes = [change for seed in range(draws) for change in _moved_by(network, point, base, on, seed)]
    changes += [change for seed in range(draws) for change in _moved_inside(network, point, base, seed)]
    wide = base
    with suppress(Exception):
        wide = gradient(network, wider(point))
    return {
        name: Spread(
            np.max([np.zeros(found.shape), *(change[name] for change in changes)], axis=0),
            _distance(found, wide.gradients[name]),
            np.asarray(wide.gradients[name], dtype=np.float64),
            wide.units[name],
        )
        for name, found in base.gradients.items()
    }


def _moved_by(
    network: Network, point: Point, base: Analytic, on: Mapping[str, Array], seed: int
) -> Iterator[dict[str, Array]]:
    """What one move changes in every gradient; nothing if that cannot be told."""
    near = point.map(lambda array: moved(array, seed))
    try:
        trace = network.forward(near)
    except LayerFailure:  # the point lies on the border of the forward's domain, and the move leads out of it
        return
    found = _backward(network, near, trace, DECLARED, seed).gradients
    if same_pieces(on, all_pieces(network, trace.arrays)):
        yield {name: _distance(found[name], base.gradients[name]) for name in base.gradients}
        return
    with suppress(Exception):
        far = wider(near)
        trace_far = network.forward(far)
        if same_pieces(all_pieces(network, trace.arrays), all_pieces(network, trace_far.arrays)):
            wide = _backward(network, far, trace_far, DECLARED, seed=None).gradients
            yield {name: _distance(found[name], wide[name]) for name in base.gradients}


def _moved_inside(network: Network, point: Point, base: Analytic, seed: int) -> Iterator[dict[str, Array]]:
    """What a move of everything that the backward passes start from changes; nothing where they refuse it."""
    caches, losses = base.trace.caches, base.trace.loss_caches
    trace = replace(
        base.trace,
        caches={name: moved_within(cache, seed) for name, cache in caches.items()},
        loss_caches=tuple(moved_within(cache, seed) for cache in losses),
    )
    found = _backward(network, point, trace, DECLARED, seed, _Rounded(network, point, trace, seed))
    if not found.failures:
        yield {name: _distance(found.gradients[name], base.gradients[name]) for name in base.gradients}


def _distance(found: Array, other: Array) -> Array:
    return np.abs(np.asarray(found, dtype=np.longdouble) - other).astype(np.float64)


def greatest_rounding(network: Network, point: Point, base: Analytic, objective: Objective) -> dict[str, float]:
    """By name, the greatest distance of a gradient from the same backward in a wider precision; 0 if there is none."""
    with suppress(Exception):
        wide = gradient(network, wider(point), objective).gradients
        return {
            name: float(np.max(_distance(found, wide[name]), initial=0.0)) for name, found in base.gradients.items()
        }
    return dict.fromkeys(base.gradients, 0.0)


def own_rounding(network: Network, point: Point, base: Analytic, part: Node | Term, draws: int = 4) -> dict[str, Array]:
    """s of what one layer, or one term of the loss, adds to the gradients, by their name.

    Measured as `spread` does it, but with the arrays and upstream gradients that the part has had in the pass: what was
    rounded elsewhere is not in it. Empty if the part cannot be asked again.
    """
    on = pieces(part, base.trace.arrays)
    found = {name: array for (owner, name), array in base.contributions.items() if owner == part.name}
    others: list[Mapping[str, Array]] = []
    with suppress(Exception):
        for seed in range(draws):
            near, added = _added(network, point, base, part, partial(moved, seed=seed), seed)
            if on is None or np.array_equal(on, pieces(part, near)):  # type: ignore[arg-type]
                others.append(added)
        wide = wider_type(base.trace.arrays)
        others.append(_added(network, point, base, part, lambda array: array.astype(wide), None)[1])
        for seed in range(draws):
            others.append(_added(network, point, base, part, np.copy, None, inside=seed)[1])
    changes = {name: [_distance(array, other[name]) for other in others] for name, array in found.items()}
    return {name: np.max(some, axis=0) for name, some in changes.items() if some}


def _added(
    network: Network, point: Point, base: Analytic, part: Node | Term, change: Callable[[Array], Array],
    seed: int | None, inside: int | None = None,
) -> tuple[Mapping[str, Array], dict[str, Array]]:  # fmt: skip
    """The arrays that the part gets after a change of every number, and what its backward adds by name.

    inside  the seed of a move of what the forward has kept for that backward, and of its own rounding
    """
    arrays = {name: change(a) if a.dtype.kind == "f" else a for name, a in base.trace.arrays.items()}
    result, cache = part.apply(arrays)
    cache = cache if inside is None else moved_within(cache, inside)

    def walking(trace: Trace) -> _Walk:
        return _Walk(network, point, trace) if inside is None else _Rounded(network, point, trace, inside)

    if isinstance(part, Term):
        position = network.terms.index(part)
        none = (None,) * position
        walk = walking(Trace(arrays, {}, (*none, result), (*none, cache)))
        walk.through_loss(position, part, part.weight, part.reduction, seed)
    else:
        with_outputs = {**arrays, **dict(zip(part.outputs, result, strict=True))}
        walk = walking(Trace(with_outputs, {part.name: cache}, (), ()))
        walk.gradients = {name: change(base.gradients[name]) for name in part.outputs}
        walk.through(part)
    if walk.failures:
        raise walk.failures[0]
    return arrays, {name: array for (_, name), array in walk.contributions.items()}


def _backward(
    network: Network, point: Point, trace: Trace, objective: Objective, seed: int | None, walk: _Walk | None = None
) -> Analytic:
    walk = walk or _Walk(network, point, trace)
    for position, term in enumerate(network.terms):
        weight = objective.weight(position, term)
        if weight:
            walk.through_loss(position, term, weight, objective.reduction or term.reduction, seed)
    for node in reversed(network.nodes):
        walk.through(node)
    return Analytic(walk.finished(), walk.contributions, walk.units, tuple(walk.failures), trace)


class _Walk:
    """A backward pass on its way from the loss to the inputs."""

    def __init__(self, network: Network, point: Point, trace: Trace) -> None:
        self.network, self.point, self.trace = network, point, trace
        self.gradients: dict[str, Array] = {}
        self.contributions: dict[tuple[str, str], Array] = {}
        self.failures: list[LayerFailure] = []
        self.base = max(_unit(point.arrays[name].dtype) for name in (*point.parameters, *point.inputs))
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
            with guarded(term.name, "backward", term.trusted):
                result = term.loss.backward(upstream, cache)
        except LayerFailure as failure:
            self.failures.append(failure)
            result = tuple(None for _ in predictions)
        gradients = result if isinstance(result, tuple) else (result,)
        self._add_inputs(term.name, term.predictions, predictions, gradients)

    def through(self, node: Node) -> None:
        outputs = [self.trace.arrays[name] for name in node.outputs]
        dy = tuple(self._at(name, y).copy() for name, y in zip(node.outputs, outputs, strict=True))
        inputs = [self.trace.arrays[name] for name in node.inputs]
        self.upstream = max(self.units[name] for name in node.outputs)
        dx, parameters = self._call(node, dy if len(dy) > 1 else dy[0])
        single = tuple(None for _ in inputs) if parameters is None else (dx,)
        self._add_inputs(node.name, node.inputs, inputs, dx if isinstance(dx, tuple) else single)
        self._add_parameters(node, parameters)

    def _call(self, node: Node, dy: Any) -> tuple[Any, dict[str, Any] | None]:
        """(dx, gradients by parameter name); (None, None) where backward gave nothing that can be used."""
        try:
            with guarded(node.name, "backward", node.trusted):
                result = node.layer.backward(dy, self.trace.caches[node.name])
        except LayerFailure as failure:
            self.failures.append(failure)
            return None, None
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
            return result[0], dict(result[1])
        message = (
            f"{node.name}: backward did not return a pair (gradient of the input, gradients by parameter name); "
            "write `return dx, {...}`, with {} where there are no parameters"
        )
        self.failures.append(LayerFailure("GC120", node.name, "backward", message))
        return None, None

    def finished(self) -> dict[str, Array]:
        """Zeros where nothing arrived: what the loss does not depend on has no influence on it."""
        arrays = self.trace.arrays
        names = (*self.point.parameters, *self.point.inputs, *(o for n in self.network.nodes for o in n.outputs))
        for name in names:
            self._at(name, arrays[name])
        return self.gradients

    def _at(self, name: str, array: Array) -> Array:
        self.units.setdefault(name, self.base)
        return self.gradients.setdefault(name, np.zeros_like(array))

    def _add_inputs(self, where: str, names: Sequence[str], inputs: Sequence[Array], gradients: Sequence[Any]) -> None:
        if len(gradients) != len(inputs):
            message = f"{where}: backward returned {len(gradients)} input gradients for {len(inputs)} inputs"
            self.failures.append(LayerFailure("GC120", where, "backward", message))
            gradients = [None] * len(inputs)
        failed = any(failure.node == where for failure in self.failures)
        for name, x, found in zip(names, inputs, gradients, strict=True):
            if x.dtype.kind == "f":
                self._accumulate(
                    where, name, self._sound(where, f"the gradient of its input {name}", x, found, failed, None)
                )

    def _add_parameters(self, node: Node, gradients: dict[str, Any] | None) -> None:
        failed = gradients is None
        found = gradients or {}
        for local, key in node.parameters.items():
            what = f"the gradient of `{local}`"
            if not failed and local not in found:
                has = ", ".join(f"`{name}`" for name in found) or "none"
                message = f"{key}: backward forgets {what}; the gradients that it returns: {has}"
                self.failures.append(LayerFailure("GC108", node.name, "backward", message, key))
            forgotten = failed or local not in found
            array = self.trace.arrays[key]
            self._accumulate(node.name, key, self._sound(node.name, what, array, found.get(local), forgotten, key))
        surplus = [name for name in found if name not in node.parameters]
        if surplus and all(local in found for local in node.parameters):
            message = f"{node.name}: backward returns a gradient for {', '.join(surplus)}, which init does not return"
            self.failures.append(LayerFailure("GC120", node.name, "backward", message))

    def _accumulate(self, where: str, name: str, gradient: Array) -> None:
        known = self.contributions.get((where, name))
        self.contributions[where, name] = gradient if known is None else known + gradient
        self.gradients[name] = self.gradients[name] + gradient if name in self.gradients else gradient
        self.units[name] = max(self.units.get(name, 0.0), self.upstream, _unit(gradient.dtype))

    def _sound(
        self, where: str, what: str, array: Array, found: Any, already_failed: bool, parameter: str | None
    ) -> Array:
        """The gradient as it was returned if it is usable, else NaN; says once what is wrong with it."""
        unusable = np.full_like(array, np.nan)
        subject = parameter or where
        if found is None or not isinstance(found, (np.ndarray, np.generic, float)):
            if not already_failed:
                kind = "None" if found is None else type(found).__name__
                message = f"{subject}: backward returned {kind} for {what}; expected an array of shape {array.shape}"
                code = "GC108" if found is None else "GC505"
                self.failures.append(LayerFailure(code, where, "backward", message, parameter))
            return unusable
        gradient: Array = np.asarray(found)
        if gradient.dtype.kind not in "fiub":
            message = f"{subject}: {what} is an array of {gradient.dtype}; expected real numbers"
            self.failures.append(LayerFailure("GC505", where, "backward", message, parameter))
            return unusable
        if gradient.shape != array.shape:
            message = f"{subject}: {what} has shape {gradient.shape}; expected {array.shape}"
            self.failures.append(LayerFailure("GC120", where, "backward", message, parameter))
            return unusable
        if not np.isfinite(gradient).all() and not self._tainted():
            count = int(gradient.size - np.isfinite(gradient).sum())
            message = f"{subject}: {what} is NaN or Inf in {count} of {gradient.size} entries"
            self.failures.append(LayerFailure("GC115", where, "backward", message, parameter))
        return gradient

    def _tainted(self) -> bool:
        return any(failure.parameter is None for failure in self.failures)


class _Rounded(_Walk):
    """One in which every layer rounds once more: what it adds to the gradient of x is off by u max|dy y| / max|x|.

    That changes the loss as one more rounding of y does, if x moves by its own size: less than that no backward can
    know that computes with y, as one that takes 1 - tanh² anew from an x at which tanh is 1.
    """

    def __init__(self, network: Network, point: Point, trace: Trace, seed: int) -> None:
        super().__init__(network, point, trace)
        self.rng = np.random.default_rng(seed)
        self.size: Array | None = None

    def through(self, node: Node) -> None:
        outputs = [(self._at(name, y), y) for name in node.outputs if (y := self.trace.arrays[name]).dtype.kind == "f"]
        sizes = [_greatest(dy.astype(np.float64) * y) for dy, y in outputs]
        self.size = np.max(sizes, axis=0) if sizes else None
        super().through(node)

    def _accumulate(self, where: str, name: str, gradient: Array) -> None:
        x = self.trace.arrays[name]
        if self.size is not None and x.dtype.kind == "f":
            alike = x.ndim > 0 and len(x) == len(self.size) and name not in self.point.parameters
            size = (self.size if alike else np.max(self.size, initial=0.0)) * _unit(gradient.dtype)
            own = _greatest(x) if alike else np.max(np.abs(x), initial=0.0)
            off = np.divide(size, own, out=np.zeros_like(np.asarray(size)), where=np.asarray(own) > 0)
            off = np.where(np.isfinite(off), off, 0.0).reshape(-1, *[1] * (x.ndim - 1)) if alike else off
            gradient = (gradient + off * self.rng.choice([-1.0, 1.0], gradient.shape)).astype(gradient.dtype)
        super()._accumulate(where, name, gradient)


def _greatest(array: Array) -> Array:
    """The greatest size of each sample's numbers: (N,)."""
    return np.asarray(np.max(np.abs(array).reshape(len(array), -1), axis=1, initial=0.0), dtype=np.float64)


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
