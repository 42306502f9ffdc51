"""Whole tensors moved along directions, through what depends on them, and nothing else.

A ray moves the entries of a tensor together, or of several, x + t v with v of ones, minus ones and zeros. Activations
before them stay as they are; what several rays change rides in one stacked batch, from the first layer on that they
change.
The slope along a ray is one number for every column of the observables, and costs one evaluation of the loss for each
offset of the scheme, whatever the size of the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric._steps import Plain
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import SUMMED, Question, Rungs, side_by_side
from gradcheck.gradients.numeric.schemes import Scheme
from gradcheck.gradients.numeric.sweep import CHUNK, Stage
from gradcheck.network import Node

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Standard deviations of the forward's noise that a bar leaves room for.
_DEVIATIONS = 6
#: Rays that are evaluated together, at most: their activations lie in memory side by side.
_TOGETHER = 64


class Ray(Struct, frozen=True):
    """The direction v in which tensors move: by name their signs, 1, -1, and 0 where an entry stays."""

    moves: Mapping[str, Array]

    @property
    def signs(self) -> Array:
        """Those of a ray that moves one tensor."""
        (signs,) = self.moves.values()
        return signs


class _Changed(Struct, frozen=True):
    """An activation on some of the rays; on the others it is as it was.

    rays    which ones, ascending
    values  (rays, N, ...)
    """

    rays: tuple[int, ...]
    values: Array

    def on(self, rays: tuple[int, ...], base: Array) -> Array:
        """Its values on other rays: (rays, N, ...)."""
        if rays == self.rays:
            return self.values
        values = np.empty((len(rays), *base.shape), dtype=np.result_type(base, self.values))
        values[...] = base
        places = [k for k, ray in enumerate(rays) if ray in self.rays]
        values[places] = self.values[[self.rays.index(rays[k]) for k in places]]
        return values


def climb_along(
    stage: Stage,
    rays: Sequence[Ray],
    scheme: Scheme,
    question: Question,
    steps: Array,
    watch: KinkWatch | None = None,
    tick: Callable[[int], None] | None = None,
) -> Rungs:
    """The scheme at every step along every ray; what `Rungs` calls an entry is a ray here.

    tick is called now and then with the number of rays that are done.
    """
    steps = np.asarray(steps, dtype=float)
    watch = None if watch is None or watch.is_idle(scheme.is_complex) else watch
    parts = []
    for group in _groups(stage, rays):
        parts.append(_climb(stage, group, scheme, question, steps, watch))
        if tick is not None:
            tick(sum(part.values.shape[1] for part in parts))
    return side_by_side(parts)


def _groups(stage: Stage, rays: Sequence[Ray]) -> Iterator[Sequence[Ray]]:
    """So many together as fit the cache, one at least."""
    if len(rays) == 1:
        yield rays
        return
    widest = max(stage.arrays[output].size for node in stage.network.nodes for output in node.outputs)
    together = min(_TOGETHER, max(1, CHUNK // max(1, widest)))
    for start in range(0, len(rays), together):
        yield rays[start : start + together]


def _climb(
    stage: Stage, rays: Sequence[Ray], scheme: Scheme, question: Question, steps: Array, watch: KinkWatch | None
) -> Rungs:
    seen: dict[complex, tuple[Array, Array]] = {}

    def at(offset: complex) -> tuple[Array, Array]:
        if offset not in seen:
            seen[offset] = observables_along(stage, rays, offset, watch)
        return seen[offset]

    values, kink = np.empty((len(steps), len(rays))), np.empty((len(steps), len(rays)), dtype=bool)
    for k, step in enumerate(steps.tolist()):
        evaluated = [at(offset * step) for offset in scheme.offsets]
        derivative = scheme.combine([columns for columns, _ in evaluated], step)
        values[k] = derivative @ question.objective
        kink[k] = evaluated[0][1] if len(evaluated) == 1 else np.any([met for _, met in evaluated], axis=0)
    magnitude = np.abs(derivative) @ np.abs(question.objective)
    noise = np.zeros(values.shape)
    if not scheme.is_complex:
        noise = _noise(stage, rays, scheme, question, steps) + SUMMED * _UNIT * magnitude
    reduced = {key: derivative @ weights for key, weights in question.others.items()}
    return Rungs(steps, values, noise, kink, magnitude, reduced)


def _noise(stage: Stage, rays: Sequence[Ray], scheme: Scheme, question: Question, steps: Array) -> Array:
    """6 ε ‖w‖ / h."""
    found = np.zeros((len(steps), len(rays)))
    for k, ray in enumerate(rays):
        reached = stage.observables.of(stage.network.reached(ray.moves))
        deviation = float(np.sqrt(np.sum((question.objective * question.noise * reached) ** 2)))
        found[:, k] = _DEVIATIONS * scheme.noise_gain() * deviation / steps
    return found


def observables_along(
    stage: Stage, rays: Sequence[Ray], step: complex, watch: KinkWatch | None = None
) -> tuple[Array, Array]:
    """Observables with each ray gone that far -> (rays, columns), and which rays meet a kink on their way.

    NaN for rays that lead out of the domain of the forward. LayerFailure where it raises at the point itself, too.
    """
    try:
        return _evaluated(stage, rays, step, watch)
    except LayerFailure as failure:
        if failure.code != "GC901":
            raise
        _evaluated(stage, rays, 0 * step, watch)
        if len(rays) == 1:
            width = stage.observables.width
            return np.full((1, width), np.nan, dtype=np.result_type(float, type(step))), np.zeros(1, dtype=bool)
    each = [observables_along(stage, [ray], step, watch) for ray in rays]
    return np.concatenate([values for values, _ in each]), np.concatenate([met for _, met in each])


def _evaluated(stage: Stage, rays: Sequence[Ray], step: complex, watch: KinkWatch | None) -> tuple[Array, Array]:
    if len(rays) == 1 and watch is None:
        return _one_evaluated(stage, rays[0], step), np.zeros(1, dtype=bool)
    changed: dict[str, _Changed] = {}
    met = np.zeros(len(rays), dtype=bool)
    everyone = tuple(range(len(rays)))
    names = dict.fromkeys(name for ray in rays for name in ray.moves)
    for name in names:
        if name in stage.samples or name in stage.seen:
            own = tuple(k for k, ray in enumerate(rays) if name in ray.moves)
            changed[name] = _Changed(own, np.stack([_moved(stage, rays[k], name, step) for k in own]))
    for node in stage.affected(names):
        moving = _moving(stage, node, changed, rays)
        if watch is not None and moving.alive:
            _see(stage, watch, node, changed, moving.alive, met, Plain(stage.arrays, isinstance(step, complex)))
        outputs = _through(stage, node, changed, rays, moving, step)
        changed.update({name: _Changed(moving.all, y) for name, y in zip(node.outputs, outputs, strict=True)})
    needed = {name for term in stage.network.terms for name in (*term.predictions, *term.data.values())}
    dense = {name: change.on(everyone, stage.arrays[name]) for name, change in changed.items() if name in needed}
    copies = stage.copies(len(rays))
    if watch is not None:
        watch.start(len(rays), stage.point.batch_size)
        watch.see_losses(copies, dense, Plain(stage.arrays, isinstance(step, complex)))
        met |= watch.met.any(axis=1)
    return stage.observables.evaluate(copies, dense, stage.coupled), met


def _one_evaluated(stage: Stage, ray: Ray, step: complex) -> Array:
    """The observables of one copy -> (1, columns): a forward of what the ray moves."""
    arrays = dict(stage.arrays)
    moving = {name: _moved(stage, ray, name, step) for name in ray.moves}
    arrays.update(moving)
    for node in stage.affected(ray.moves):
        outputs = dict(zip(node.outputs, node.apply(arrays)[0], strict=True))
        arrays.update(outputs)
        moving.update(outputs)
    changed = {name: moving[name][None] for name in stage.seen if name in moving}
    return stage.observables.evaluate(stage.copies(1), changed, stage.coupled)


class _Moving(Struct, frozen=True):
    """The rays that change the outputs of one layer.

    alive  those that change one of its inputs
    own    those whose tensor the layer takes itself, as a parameter or as an input that has no samples
    """

    alive: tuple[int, ...]
    own: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        return tuple(sorted({*self.alive, *self.own}))


def _moving(stage: Stage, node: Node, changed: Mapping[str, _Changed], rays: Sequence[Ray]) -> _Moving:
    alive = {ray for name in node.inputs if name in changed for ray in changed[name].rays}
    taken = {*node.parameters.values(), *(name for name in node.inputs if name not in stage.samples)}
    return _Moving(tuple(sorted(alive)), tuple(k for k, ray in enumerate(rays) if not taken.isdisjoint(ray.moves)))


def _moved(stage: Stage, ray: Ray, name: str, step: complex) -> Array:
    """x + t v."""
    array, signs = stage.arrays[name], ray.moves[name]
    if step.real or not step.imag:
        return np.asarray(array + step * signs)
    moved = array.astype(complex)
    imaginary = moved.imag
    imaginary[...] = signs
    imaginary *= step.imag
    return moved


def _see(
    stage: Stage, watch: KinkWatch, node: Node, changed: Mapping[str, _Changed], alive: tuple[int, ...], met: Array,
    step: Plain,
) -> None:  # fmt: skip
    """Show the watch what comes in, on the rays on which it moves."""
    watch.start(len(alive), stage.point.batch_size)
    inputs = {name: changed[name].on(alive, stage.arrays[name]) for name in node.inputs if name in changed}
    watch.see(node, stage.copies(len(alive)), inputs, step)
    met[list(alive)] |= watch.met.any(axis=1)


def _through(
    stage: Stage,
    node: Node,
    changed: Mapping[str, _Changed],
    rays: Sequence[Ray],
    moving: _Moving,
    step: complex,
) -> tuple[Array, ...]:
    """A layer's outputs on all rays that change them: (rays, N, ...) each."""
    names = (*node.inputs, *node.parameters.values(), *node.constants.values())
    stacked = tuple(ray for ray in moving.alive if ray not in moving.own and node.name not in stage.coupled)
    found: dict[int, tuple[Array, ...]] = {}
    if stacked:
        copies = stage.copies(len(stacked))
        inputs = {name: changed[name].on(stacked, stage.arrays[name]) for name in node.inputs if name in changed}
        outputs, _ = node.apply(copies.stacked(names, inputs))
        together = tuple(y.reshape(len(stacked), -1, *y.shape[1:]) for y in outputs)
        if stacked == moving.all:
            return together
        found |= {ray: tuple(y[k] for y in together) for k, ray in enumerate(stacked)}
    for ray in moving.all:
        if ray not in found:
            arrays = {name: stage.arrays[name] for name in names}
            for name in node.inputs:
                if name in changed and ray in changed[name].rays:
                    arrays[name] = changed[name].on((ray,), stage.arrays[name])[0]
            for name in rays[ray].moves:
                if name in arrays and name not in stage.samples:
                    arrays[name] = _moved(stage, rays[ray], name, step)
            found[ray] = node.apply(arrays)[0]
    if len(found) == 1:
        return tuple(y[None] for y in found[moving.all[0]])
    return tuple(np.stack(outputs) for outputs in zip(*(found[ray] for ray in moving.all), strict=True))
