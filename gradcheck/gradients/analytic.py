"""The analytic witness: the gradient that the layers' own backward passes give.

Its rounding is measured with it, by moves of one unit in the last place and in a wider precision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients._moves import moved, moved_within, wider, wider_type
from gradcheck.gradients._pieces import all_pieces, pieces, same_pieces
from gradcheck.gradients._walk import Rounded, Walk
from gradcheck.network import Network, Node, Point, Term, Trace

Array = NDArray[Any]


class Analytic(Struct, frozen=True):
    """One backward pass.

    gradients      by name of the parameter, the input or the activation; of the array's shape
    contributions  what one layer (or `loss`) alone has added to them, by (layer, name)
    units          by name, unit roundoff of the narrowest precision that a backward on the way to it has answered in
    failures       what the layers' backward passes did against the contract, nearest to the loss first
    trace          the forward pass that it belongs to
    leaks          gradients for frozen parameters, from layers that are told; they do not touch the others
    """

    gradients: Mapping[str, Array]
    contributions: Mapping[tuple[str, str], Array]
    units: Mapping[str, float]
    failures: tuple[LayerFailure, ...]
    trace: Trace
    leaks: tuple[LayerFailure, ...] = ()

    @property
    def unit(self) -> float:
        """Unit roundoff of the narrowest precision that any backward has answered in."""
        return max(self.units.values())


class Objective(Struct, frozen=True):
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


class Spread(Struct, frozen=True):
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
    greatest = {name: np.zeros(found.shape) for name, found in base.gradients.items()}
    for change in changes(network, point, base, draws):
        for name, pair in change.items():
            np.maximum(greatest[name], _distance(*pair), out=greatest[name])
    wide = base
    with suppress(Exception):
        wide = gradient(network, wider(point))
    return {
        name: Spread(
            greatest[name],
            _distance(found, wide.gradients[name]),
            np.asarray(wide.gradients[name], dtype=np.float64),
            wide.units[name],
        )
        for name, found in base.gradients.items()
    }


def spread_along(
    network: Network,
    point: Point,
    base: Analytic,
    probed: Collection[str],
    apart: Callable[[Array, Array], float],
    slopes: Callable[[str, Array], Array],
    draws: int = 2,
) -> dict[str, Spread]:
    """The rounding of every gradient, by name; of the probed tensors along random directions, one number for each.

    apart   ‖δ‖ of two gradients: the usual size of Σ δ v, which hardly depends on the move, so two of them will do
    slopes  of a gradient, by name, along every direction

    Beside float64 there is no wider precision that is quick: there the moves alone count.
    """
    moved_by = {name: np.zeros(() if name in probed else g.shape) for name, g in base.gradients.items()}
    for change in changes(network, point, base, draws):
        while change:  # it is as large as the network, and the next one is on its way: nothing of it is kept
            name, pair = change.popitem()
            moved_by[name] = np.maximum(moved_by[name], (apart if name in probed else _distance)(*pair))
            del pair
    wide = base
    if wider_type(point.arrays) is np.float64:
        with suppress(Exception):
            wide = gradient(network, wider(point))
    found = {}
    for name, array in base.gradients.items():
        value = np.asarray(wide.gradients[name], dtype=np.float64)
        rounded: Any = 0.0
        if wide is not base:
            rounded = (apart if name in probed else _distance)(array, wide.gradients[name])
        if name in probed:
            value = slopes(name, value)
        every = partial(np.broadcast_to, shape=value.shape)
        found[name] = Spread(every(moved_by[name]), every(rounded), value, wide.units[name])
    return found


def changes(
    network: Network, point: Point, base: Analytic, draws: int, objective: Objective = DECLARED
) -> Iterator[dict[str, tuple[Array, Array]]]:
    """Every gradient, by name, before and after each move: of the point, then of what the forward passes keep."""
    on = all_pieces(network, base.trace.arrays)
    for seed in range(draws):
        yield from _moved_by(network, point, base, on, seed, objective)
    for seed in range(draws):
        yield from _moved_inside(network, point, base, seed, objective)


def _moved_by(
    network: Network, point: Point, base: Analytic, on: Mapping[str, Array], seed: int, objective: Objective
) -> Iterator[dict[str, tuple[Array, Array]]]:
    """What one move changes in every gradient; nothing if that cannot be told."""
    near = point.map(lambda array: moved(array, seed))
    try:
        trace = network.forward(near)
    except LayerFailure:  # the point lies on the border of the forward's domain, and the move leads out of it
        return
    found = _backward(network, near, trace, objective, seed).gradients
    if same_pieces(on, all_pieces(network, trace.arrays)):
        yield {name: (found[name], base.gradients[name]) for name in base.gradients}
        return
    with suppress(Exception):
        far = wider(near)
        trace_far = network.forward(far)
        if same_pieces(all_pieces(network, trace.arrays), all_pieces(network, trace_far.arrays)):
            wide = _backward(network, far, trace_far, objective, seed=None).gradients
            yield {name: (found[name], wide[name]) for name in base.gradients}


def _moved_inside(
    network: Network, point: Point, base: Analytic, seed: int, objective: Objective
) -> Iterator[dict[str, tuple[Array, Array]]]:
    """What a move of everything that the backward passes start from changes; nothing where they refuse it."""
    caches, losses = base.trace.caches, base.trace.loss_caches
    trace = replace(
        base.trace,
        caches={name: moved_within(cache, seed) for name, cache in caches.items()},
        loss_caches=tuple(moved_within(cache, seed) for cache in losses),
    )
    found = _backward(network, point, trace, objective, seed, Rounded(network, point, trace, seed))
    if not found.failures:
        yield {name: (found.gradients[name], base.gradients[name]) for name in base.gradients}


def on_other_pieces(network: Network, batch: Trace, samples: Sequence[Trace]) -> str:
    """The first layer or term of which a sample alone is on another piece than in its batch; empty if there is none.

    samples  the traces of batches of one, in the order of the batch
    """
    whole = all_pieces(network, batch.arrays)
    alone = [all_pieces(network, sample.arrays) for sample in samples]
    each = {name: np.concatenate([pieces[name] for pieces in alone]) for name in whole}
    return next((name for name in whole if not np.array_equal(whole[name], each[name])), "")


def _distance(found: Array, other: Array) -> Array:
    if found.dtype == other.dtype == np.float64:
        return np.asarray(np.abs(found - other))
    return np.abs(np.asarray(found, dtype=np.longdouble) - other).astype(np.float64)


def greatest_rounding(
    network: Network, point: Point, base: Analytic, objective: Objective, draws: int = 4
) -> dict[str, float]:
    """By name, the greatest distance of a gradient from the same backward in a wider precision.

    Where a layer does not answer in one, the greatest change by moves of one unit in the last place counts as well.
    """
    pairs: list[dict[str, tuple[Array, Array]]] = []
    answered = False
    with suppress(Exception):
        wide = gradient(network, wider(point), objective)
        pairs.append({name: (found, wide.gradients[name]) for name, found in base.gradients.items()})
        answered = wide.unit < base.unit
    if not answered:
        pairs += changes(network, point, base, draws, objective)
    return {
        name: max((float(np.max(_distance(*pair[name]), initial=0.0)) for pair in pairs), default=0.0)
        for name in base.gradients
    }


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
        others.extend(_added(network, point, base, part, np.copy, None, inside=seed)[1] for seed in range(draws))
    changes = {name: [_distance(array, other[name]) for other in others] for name, array in found.items()}
    return {name: np.max(some, axis=0) for name, some in changes.items() if some}


def _added(
    network: Network, point: Point, base: Analytic, part: Node | Term, change: Callable[[Array], Array],
    seed: int | None, inside: int | None = None,
) -> tuple[Mapping[str, Array], dict[str, Array]]:  # fmt: skip
    """The arrays that the part gets after a change of every number, and what its backward adds by name.

    inside  the seed of a move of what the forward has kept for that backward, and of its own rounding
    """
    its = {name: base.trace.arrays[name] for name in part.names if name in base.trace.arrays}
    arrays = {name: change(a) if a.dtype.kind == "f" else a for name, a in its.items()}
    result, cache = part.apply(arrays)
    cache = cache if inside is None else moved_within(cache, inside)

    def walking(trace: Trace) -> Walk:
        return Walk(network, point, trace) if inside is None else Rounded(network, point, trace, inside)

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
    network: Network, point: Point, trace: Trace, objective: Objective, seed: int | None, walk: Walk | None = None
) -> Analytic:
    walk = walk or Walk(network, point, trace)
    for position, term in enumerate(network.terms):
        weight = objective.weight(position, term)
        if weight:
            walk.through_loss(position, term, weight, objective.reduction or term.reduction, seed)
    for node in reversed(network.nodes):
        walk.through(node)
    return Analytic(walk.finished(), walk.contributions, walk.units, tuple(walk.failures), trace, tuple(walk.leaks))
