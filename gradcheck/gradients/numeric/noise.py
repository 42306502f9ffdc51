"""The noise of the forward, measured.

Along a line of equally spaced, nearly equal points a smooth function is a polynomial; what is left in its higher
differences is noise: σₖ² = (k!)² / (2k)! · mean((Δᵏ f)²) (Moré & Wild, Estimating computational noise, 2011).

A forward that rounds (to float16, to a grid) is a staircase, flat at small spacings, and a spacing at which it is rough
may be one at which a smooth function bends. So its steps are looked for by the slopes, too: between points d apart a
smooth function climbs by what its slopes there say, a staircase by what none of them says,

    e = (f(x + d) - f(x)) / d  -  (f′(x) + f′(x + d)) / 2        f′ over a much smaller spacing

which is small beside f′ for a smooth function, kinks included unless one of the slopes is 0, and all of the way for a
staircase, and again and again. Layers are asked one by one, as deep networks bend more than their layers, and what is
found is sent through the layers behind as random moves of that size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.network import Node, Term

Array = NDArray[Any]
_POINTS = 8
#: Spacings of the points, relative to every number, and the orders of differences in which a smooth function has
#: vanished there. A forward that computes in float32 is a staircase: flat at the small spacing, rough at the great one.
_LINES = ((2.0**-44, (2, 3, 4, 5)), (2.0**-26, (3, 4, 5)))
#: In long double there is a shorter one: on the others float64 is the staircase that is rough.
_SHORT_LINE = (np.longdouble(2) ** -55, (2, 3, 4, 5))
#: The line that shows steps as wide as those of 8 bits: its points, their spacing, and the order of differences in
#: which a function that turns around within a hundredth of its argument has vanished. No power of two: steps that are
#: one would keep pace with the points. Slopes are those of a short way.
_COARSE_POINTS, _COARSE, _COARSE_ORDER, _SLOPE = 24, 2.0**-10 * (1 + 5**0.5), 10, 2.0**-32
#: A staircase hides much more of its slope than it shows, in more than this part of all outputs that move at all. One
#: that is a part of a smooth function hides less, but in nearly all of them, and what it shows leads a small part of
#: the way from point to point: a function that oscillates faster than the points lie hides as much.
_ALL_HIDDEN, _SHARE = 16, 0.25
_HIDDEN, _SMALL_PART, _NEARLY_ALL = 0.5, 0.25, 0.9
#: What is hidden between two points is a jump if it is so large a part of the most that is hidden between any two. An
#: output that jumps but once has left a piece, as a gate does at its threshold: a staircase does so more than once.
_JUMP = 0.1
#: Either way its noise is so many times that of short moves, in as many outputs as are asked for at least.
_ROUGHER = 64
#: How often every activation is rounded once more.
_ROUNDED = 4
#: How often the noise of a layer is drawn and sent through the layers behind it.
_DRAWS = 8
_UNIT = float(np.finfo(np.float64).eps) / 2


def forward_noise(stage: Stage) -> Array:
    """Standard deviation of each observable's rounding error: (columns,).

    Along a line some roundings keep pace: 1 - c of two vectors of which one is twice the other is always the same. So
    that of every activation by itself counts, too.
    """
    variance: Array = np.maximum(rounding_noise(partial(_observables_along, stage)), _rounded_noise(stage)) ** 2
    for node in stage.network.nodes:
        if not node.trusted:
            variance = variance + _of_node(stage, node)
    for position, term in enumerate(stage.network.terms):
        if not term.trusted:
            variance = variance + _of_term(stage, position, term)
    noise: Array = np.sqrt(variance)
    return noise


def _rounded_noise(stage: Stage) -> Array:
    """Root mean square of what one more rounding of every activation changes in the observables: (columns,)."""
    base, changes = _columns(stage, {}), []
    for seed in range(_ROUNDED):
        with suppress(LayerFailure):  # it has led out of the domain of a forward
            change = (_columns(stage, stage.rounded(seed).arrays) - base) / 2
            if np.isfinite(change).all():
                changes.append(change)
    noise: Array = np.sqrt(np.mean(np.square(changes), axis=0)) if changes else np.zeros(stage.observables.width)
    return noise


def measured_noise(along: Callable[[float], Array]) -> Array:
    """Standard deviation of the rounding error of values, those of a staircase included; of their shape.

    along  what every number is multiplied with -> the values there
    """
    base = _value(along, 1.0)
    known = cache(along)  # both look at the same short moves
    return np.maximum(_rounding(known, base), _staircase(known, base))


def rounding_noise(along: Callable[[float], Array]) -> Array:
    """The same for a forward that computes in float32 or wider.

    At least half a unit in the last place of the values, for a forward that happens to round alike. Where a line leaves
    the domain of the forward on both sides, nothing can be seen on it.
    """
    return _rounding(along, _value(along, 1.0))


def _rounding(along: Callable[[float], Array], base: Array) -> Array:
    found: Array = np.finfo(base.dtype).eps / 2 * np.abs(base)
    for spacing, orders in _LINES if base.dtype == np.float64 else (*_LINES, _SHORT_LINE):
        values = _line(along, base, spacing, _POINTS)
        for order in orders:
            found = np.fmax(found, _of_differences(values, order))
    return found


def staircase_noise(along: Callable[[float], Array]) -> Array:
    """Standard deviation of the rounding error of values that are computed in steps; 0 for values that are not."""
    return _staircase(along, _value(along, 1.0))


def _staircase(along: Callable[[float], Array], base: Array) -> Array:
    if _is_smooth(along, base):
        return np.zeros(base.shape)
    values, side = _coarse_line(along, base)
    moving = np.isfinite(values).all(axis=0) & (np.ptp(values, axis=0) > 64 * _UNIT * np.abs(values).max(axis=0))
    noise = _of_differences(values, _COARSE_ORDER)
    spacing, orders = _LINES[0]
    short = np.fmax(_of_differences(_line(along, base, spacing, _POINTS), orders[1]), _UNIT * np.abs(base))
    hidden, told, jumps = _slopes(along, values, side)
    whole = moving & (hidden > _ALL_HIDDEN * told)
    part = moving & (hidden > _HIDDEN * told) & (told * _COARSE < _SMALL_PART * np.ptp(values, axis=0))
    steps = whole if whole.sum() > _SHARE * moving.sum() else whole | part
    rough = steps & (jumps > 1) & (noise > _ROUGHER * short)  # not all of them: some keep pace with their steps
    if (steps is not whole and steps.sum() <= _NEARLY_ALL * moving.sum()) or rough.sum() <= _SHARE * moving.sum():
        return np.zeros(base.shape)
    least: Array = np.maximum(noise, np.median(noise[rough]))
    return least


def _is_smooth(along: Callable[[float], Array], base: Array) -> bool:
    """Whether the slopes at both ends of the coarse line tell most of what the values do on it, in most of them."""
    way, short = _COARSE_POINTS * _COARSE, (_POINTS - 1) * _LINES[0][0]
    beside, far, far_beside = (_value(along, 1 + by, base) for by in (short, way, way + short))
    slopes = (beside - base) / short, (far_beside - far) / short
    between = (far - base) / way
    told = np.maximum(*np.abs(slopes))
    hides = ~(np.abs(between - (slopes[0] + slopes[1]) / 2) <= _HIDDEN / 2 * told)
    return bool(hides.sum() <= _SHARE * ((between != 0) | hides).sum())


def _coarse_line(along: Callable[[float], Array], base: Array) -> tuple[Array, int]:
    """The values on the coarse line, and to which side it goes: the one that stays in the domain of the forward."""
    for side in (1, -1):
        values = np.stack([base, *(_value(along, 1 + side * k * _COARSE, base) for k in range(1, _COARSE_POINTS))])
        if np.isfinite(values).all():
            break
    return values, side


def _slopes(along: Callable[[float], Array], values: Array, side: int) -> tuple[Array, Array, Array]:
    """How steep the coarse line is beyond what the slopes say, those slopes, and on how many ways it is so.

    The first two are root mean squares.
    """
    factors = 1 + side * (_COARSE * np.arange(_COARSE_POINTS) + _SLOPE)
    beside = np.stack([_value(along, float(factor), values[0]) for factor in factors])
    slopes = (beside - values) / _SLOPE
    hidden = np.diff(values, axis=0) / _COARSE - (slopes[1:] + slopes[:-1]) / 2
    usual = np.sort(np.abs(slopes), axis=0)[:-1]  # a short way may happen to lead over an edge
    jumps = np.sum(np.abs(hidden) > _JUMP * np.abs(hidden).max(axis=0), axis=0)
    return np.sqrt(np.mean(hidden**2, axis=0)), np.sqrt(np.mean(usual**2, axis=0)), jumps


def _of_differences(values: Array, order: int) -> Array:
    """σₖ; 0 where the values are not finite."""
    scale = factorial(order) ** 2 / factorial(2 * order)
    found = np.sqrt(scale * np.mean(np.diff(values, n=order, axis=0) ** 2, axis=0))
    return np.where(np.isfinite(found), found, 0.0)


def _line(along: Callable[[float], Array], base: Array, spacing: Any, points: int) -> Array:
    """The values on a line of growing numbers; where those are outside the domain, of shrinking ones: (points, ...)."""
    up = np.stack([base, *(_value(along, 1 + k * spacing, base) for k in range(1, points))])
    inside = np.isfinite(up).all(axis=0)
    if inside.all():
        return up
    down = np.stack([base, *(_value(along, 1 - k * spacing, base) for k in range(1, points))])
    return np.where(inside, up, down)


def _value(along: Callable[[float], Array], factor: float, like: Array | None = None) -> Array:
    """In float64, or wider, whatever the forward returns; NaN where it raises, and does not at the point itself."""
    try:
        values = np.asarray(along(factor))
        return values.astype(np.result_type(values, np.float64), copy=False)
    except LayerFailure:
        if like is None:
            raise
        along(1.0)
        return np.full(like.shape, np.nan)


def _observables_along(stage: Stage, factor: float) -> Array:
    moving = {*stage.point.parameters, *stage.point.inputs}
    arrays = {n: a * factor if n in moving and a.dtype.kind == "f" else a for n, a in stage.point.arrays.items()}
    moved = Stage(stage.network, stage.point.with_arrays(arrays), stage.coupled, stage.observables)
    values: Array = moved.observables.evaluate(moved.copies(1), {}, moved.coupled)[0]
    return values


def layer_staircase(
    forward: Callable[[Mapping[str, Array]], Array], names: Sequence[str], arrays: Mapping[str, Array]
) -> Array:
    """`staircase_noise` of one output of a layer; all numbers of the named arrays move at rates of their own.

    Once the greatest numbers of each axis stay where they are, so that what is divided by them first, as in
    quantisation, moves along a staircase all the same.
    """
    real = [name for name in dict.fromkeys(names) if arrays[name].dtype.kind == "f"]
    rates = _own_rates(arrays, real)
    still = {name: np.where(_are_not_greatest(arrays[name]), rate, 0) for name, rate in rates.items()}

    def along(factor: float, rates: Mapping[str, Array]) -> Array:
        moved = {name: arrays[name] * (1 + rate * (factor - 1)) for name, rate in rates.items()}
        return forward({**arrays, **moved})

    return np.maximum(*(staircase_noise(partial(along, rates=chosen)) for chosen in (rates, still)))


def _own_rates(arrays: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """How fast each number of the named arrays moves: r in x (1 + r (factor - 1)), from 1/2 to 3/2."""
    rng = np.random.default_rng(len(names))
    return {name: rng.uniform(0.5, 1.5, arrays[name].shape) for name in names}


def _are_not_greatest(array: Array) -> Array:
    """Which numbers are not the greatest along any axis, by their size; all of them where none is left over."""
    size = np.abs(array)
    rest = np.ones(array.shape, dtype=bool)
    for axis in (axis for axis in range(array.ndim) if array.shape[axis] > 2):
        rest &= size < size.max(axis=axis, keepdims=True)
    return rest if rest.any() else ~rest


def _of_node(stage: Stage, node: Node) -> Array:
    """Variance of the observables that comes from the staircases of one layer: (columns,)."""
    operands = (*node.inputs, *node.parameters.values())
    deviations: dict[str, Array] = {}
    for k, name in enumerate(node.outputs):
        if stage.arrays[name].dtype.kind == "f":
            found = layer_staircase(lambda arrays, k=k: node.apply(arrays)[0][k], operands, stage.arrays)  # type: ignore[misc]
            deviations |= {name: found} if found.any() else {}
    moves = list(_behind(stage, deviations)) if deviations else []
    if not moves:
        return np.zeros(stage.observables.width)
    variance: Array = np.mean(np.square(moves), axis=0)
    return variance


def _behind(stage: Stage, deviations: Mapping[str, Array]) -> Iterator[Array]:
    """How far random moves of some activations move the observables; nothing where they lead out of the domain."""
    base = _columns(stage, {})
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        arrays = dict(stage.arrays)
        for name, deviation in deviations.items():
            arrays[name] = arrays[name] + deviation * rng.choice([-1.0, 1.0], deviation.shape)
        with suppress(LayerFailure):
            for later in stage.network.affected(deviations):
                arrays.update(zip(later.outputs, later.apply(arrays)[0], strict=True))
            move = _columns(stage, arrays) - base
            if np.isfinite(move).all():
                yield move


def _of_term(stage: Stage, position: int, term: Term) -> Array:
    """Variance of the observables that comes from the staircases of one term of the loss: (columns,)."""
    own = stage.observables.of_term(position)

    def forward(arrays: Mapping[str, Array]) -> Array:
        return _columns(stage, {name: arrays[name] for name in term.predictions})[own]

    variance = np.zeros(stage.observables.width)
    variance[own] = layer_staircase(forward, term.predictions, stage.arrays) ** 2
    return variance


def _columns(stage: Stage, arrays: Mapping[str, Array]) -> Array:
    """The observables where some activations have other values, which only the losses see."""
    changed = {name: array[None] for name, array in arrays.items()}
    values: Array = stage.observables.evaluate(stage.copies(1), changed, stage.coupled)[0]
    return values
