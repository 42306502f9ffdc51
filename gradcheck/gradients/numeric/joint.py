"""One layer alone, along directions in which several entries of several operands move together.

At a tie each entry alone may have any share of the upstream gradient; only together must the shares be the whole. For
a direction d over inputs and parameters, Σₑ dₑ vₑ lies where the vector-Jacobian product of t -> f(x + t d) does at 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.local import Interval, Local, vjp
from gradcheck.gradients.numeric.schemes import SCHEMES, scale_of, step_for

Array = NDArray[Any]
_ALONG = "t"
#: Points beside lie so many steps away, and their slopes are told by steps so many times shorter.
_REACHES, _SHORTER = (0.5, 4.0), 1024
#: Slopes that differ by less than this part of them are the same.
_TOLD = 1e-2
#: How many points beside are asked, and how many draws of signs.
_BESIDE, _SIGNS = 24, 6


class _Ray(Local, frozen=True, dict=True):
    """t -> f(x + t d); its noise is that of f at x.

    deviation  that noise
    """

    deviation: list[Array]

    @cached_property
    def noise(self) -> list[Array]:
        return self.deviation


def directions(arrays: Mapping[str, Array], moving: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Directions in which the marked entries of all operands move together: all alike, then with signs by value.

    Entries that are tied have equal values, so they stay tied; other ties get other signs and cannot cancel them.
    """
    yield {name: marked.astype(np.float64) for name, marked in moving.items()}
    values = np.unique(np.concatenate([arrays[name][marked] for name, marked in moving.items()]))
    for seed in range(_SIGNS if len(values) > 1 else 0):
        signs = np.random.default_rng([seed, len(values)]).choice([-1.0, 1.0], len(values))
        signed = {}
        for name, marked in moving.items():
            signed[name] = np.zeros(marked.shape)
            signed[name][marked] = signs[np.searchsorted(values, arrays[name][marked])]
        yield signed


class Along(Struct, frozen=True):
    """A layer along a direction: in every sample by itself (N, 1), or in the whole batch (1,).

    value     what its backward says, Σₑ dₑ vₑ
    interval  where that must lie
    give      how far outside it may lie by the slack of each entry
    """

    value: Array
    interval: Interval
    give: Array

    @property
    def right(self) -> bool:
        """Whether the value lies inside, everywhere."""
        return bool(self.interval.contains(self.value, self.give).all())

    @property
    def met(self) -> bool:
        """Whether the layer has a kink along the direction."""
        return bool(self.interval.kink.any())


def adds_up(
    local: Local, direction: Mapping[str, Array], analytic: Mapping[str, Array], slack: Mapping[str, Array]
) -> bool:
    """Whether gradients of operands (by name) are right about the direction, give or take the slack of each entry.

    In every sample by itself where the layer keeps samples apart and all that moves has them; else in the whole batch.
    What lies outside may still be the slope at points beside, where ties are broken.
    """
    give = {name: np.abs(move) * slack[name] for name, move in direction.items()}
    return along(local, direction, analytic, give).right


def along(
    local: Local, direction: Mapping[str, Array], analytic: Mapping[str, Array], give: Mapping[str, Array]
) -> Along:
    """What `adds_up` decides by; `give` has what each entry of the operands allows the sum to be off."""
    per_sample = not local.coupled and all(name in local.samples for name in direction)
    value = _total({name: move * analytic[name] for name, move in direction.items()}, per_sample)
    allowed = _total(give, per_sample)
    unit = min(float(2.0 ** np.round(np.log2(scale_of(local.arrays[name])))) for name in direction)
    scaled = {name: unit * move for name, move in direction.items()}
    ray = _ray(local, scaled, per_sample)
    found = Along(unit * value, vjp(ray, _ALONG), unit * allowed)
    if not found.right:
        found = replace(found, interval=_widened(local, scaled, ray, found.interval, unit))
    return _in_units(found, unit)


def _in_units(found: Along, unit: float) -> Along:
    """The same for a direction that is so many times shorter; a power of two."""
    was = found.interval
    interval = Interval(was.low / unit, was.high / unit, was.bar / unit, was.size / unit, was.kink)
    return Along(found.value / unit, interval, found.give / unit)


def _total(parts: Mapping[str, Array], per_sample: bool) -> Array:
    """Over all entries of all operands: (N, 1), or (1,) for the whole batch."""
    return np.asarray(sum(_summed(part, per_sample) for part in parts.values()))


def _summed(array: Array, per_sample: bool) -> Array:
    if per_sample:
        return np.asarray(array.reshape(len(array), -1).sum(axis=1, keepdims=True))
    return np.atleast_1d(np.sum(array))


def _ray(local: Local, direction: Mapping[str, Array], per_sample: bool) -> _Ray:
    """The layer as a function of t alone: (N, 1), or (1,) for the whole batch."""

    def moved(arrays: Mapping[str, Array]) -> dict[str, Array]:
        t = arrays[_ALONG]
        found = dict(local.arrays)
        for name, move in direction.items():
            found[name] = found[name] + t.reshape(-1, *[1] * (move.ndim - 1) if per_sample else ()) * move
        return found

    count = len(next(iter(direction.values()))) if per_sample else 0
    return _Ray(
        forward=lambda arrays: local.forward(moved(arrays)),
        branches=lambda arrays: local.branches(moved(arrays)),
        names=(_ALONG,),
        arrays={_ALONG: np.zeros((count, 1) if per_sample else 1)},
        upstream=local.upstream,
        samples=frozenset({_ALONG} if per_sample else ()),
        coupled=not per_sample,
        complex_safe=local.complex_safe,
        smooth=local.smooth,
        deviation=local.noise,
    )


def _widened(local: Local, direction: Mapping[str, Array], ray: _Ray, found: Interval, unit: float) -> Interval:
    """The interval, wider by the slopes that each output has along the direction at points beside."""
    per_sample = _ALONG in ray.samples
    h = step_for(SCHEMES["central"], ray.arrays[_ALONG])
    below, at, above = (_outputs(ray, step) for step in (-h, 0.0, h))
    sides = [
        (dy * (y - under) / h, dy * (over - y) / h)
        for dy, under, y, over in zip(local.upstream, below, at, above, strict=True)
    ]
    spans = [_Span(np.fmin(*ends), np.fmax(*ends)) for ends in sides]
    for seed in range(_BESIDE):
        rng = np.random.default_rng(seed)
        away = {name: h * unit * rng.random(move.shape) for name, move in direction.items()}
        near, far = (
            _slopes(ray, local, direction, {k: reach * a for k, a in away.items()}, h / _SHORTER) for reach in _REACHES
        )
        spans = [
            span.with_slope(dy * one, dy * other)
            for span, dy, one, other in zip(spans, local.upstream, near, far, strict=True)
        ]
    low, high = found.low, found.high
    for span, ends in zip(spans, sides, strict=True):
        low = low - _summed(np.fmin(*ends) - span.low, per_sample).reshape(low.shape)
        high = high + _summed(span.high - np.fmax(*ends), per_sample).reshape(high.shape)
    return replace(found, low=low, high=high)


class _Span(Struct, frozen=True):
    """What each output contributes at least and at most."""

    low: Array
    high: Array

    def with_slope(self, near: Array, far: Array) -> _Span:
        """Widened to a slope at points beside where it is one along the way there, and not one of those already."""
        size = np.fmax(np.abs(far), np.fmax(np.abs(self.low), np.abs(self.high)))
        told = np.abs(far - near) <= _TOLD * size
        low = np.where(told & (far < self.low - _TOLD * size), far, self.low)
        return _Span(low, np.where(told & (far > self.high + _TOLD * size), far, self.high))


def _slopes(
    ray: _Ray, local: Local, direction: Mapping[str, Array], away: Mapping[str, Array], step: float
) -> list[Array]:
    """The slope of every output along the direction at a point beside, by a short central difference."""
    arrays = {**local.arrays, **{name: local.arrays[name] + move for name, move in away.items()}}
    beside = _ray(replace(ray, arrays=arrays, forward=local.forward), direction, _ALONG in ray.samples)
    return [
        (above - below) / (2 * step)
        for above, below in zip(*(_outputs(beside, k * step) for k in (1, -1)), strict=True)
    ]


def _outputs(ray: _Ray, t: float) -> list[Array]:
    """NaN where the layer raises."""
    try:
        return [np.asarray(y) for y in ray.forward({_ALONG: ray.arrays[_ALONG] + t})]
    except LayerFailure:
        return [np.full(dy.shape, np.nan) for dy in ray.upstream]
