"""The numeric gradient of one tensor: a value and an error for every entry, from the forward alone.

Real schemes, with D(h) the scheme at step h, p its order, ε the measured noise of the forward, w its weights:

    value  = D(h)          error = 2 |D(h) - D(2h)| / (2ᵖ - 1)  +  6 ε ‖w‖ / h  +  2 u |x| / h · |D(h)|
                                   truncation                     noise             rounding of x + h

The complex step has no truncation and no cancellation; with gᵢ the gradients of the samples and s the greatest change
of some entries when every number moves by one unit in the last place, or is computed in a wider precision:

    error = 16 u Σ|gᵢ| + 64 u max|g| + 10 s
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients._moves import moved, wider
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.schemes import Scheme
from gradcheck.gradients.numeric.sweep import Moves, Stage, perturbed_observables
from gradcheck.network import Point

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
_SAMPLED = 6
#: Shorter steps, relative to the first, where that one leaves the domain of the forward.
SHORTER = (2.0**-10, 2.0**-20)


@dataclass(frozen=True)
class Estimate:
    """The numeric gradient of one tensor, by one scheme. All arrays have the tensor's shape.

    value      the derivative of the objective
    error      how far it may be off
    magnitude  Σ over samples of |derivative|: what rounding errors are proportional to
    kink       whether the entry's perturbation met a point without a derivative
    reduced    the derivative under each column of weights that was asked for, by its key
    checked    which entries were evaluated; the others are 0
    """

    scheme: str
    step: float
    value: Array
    error: Array
    magnitude: Array
    kink: Array
    reduced: Mapping[Any, Array]
    checked: Array


@dataclass(frozen=True)
class Question:
    """What is asked of a sweep: the weights of the objective, and of everything else that is linear in the same losses.

    objective  (columns,)
    others     further vectors of weights by key
    noise      standard deviation of each column's rounding error: (columns,)
    """

    objective: Array
    others: Mapping[Any, Array]
    noise: Array


def step_for(scheme: Scheme, array: Array) -> float:
    """The scheme's relative step at the array's own scale, a power of two; at scale 1 where all entries are 0.

    A complex step need only be tiny beside the array, so it does not grow with it.
    """
    scale = float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0
    if scale == 0 or (scheme.is_complex and scale > 1):
        return scheme.relative_step()
    return float(scheme.relative_step() * 2.0 ** np.round(np.log2(scale)))


def estimate(
    stage: Stage,
    name: str,
    scheme: Scheme,
    question: Question,
    watch: KinkWatch | None = None,
    step: float | None = None,
    entries: Array | None = None,
    tick: Callable[[int], None] | None = None,
) -> Estimate:
    """Differentiate by every entry of the named array, or by some (flat indices).

    tick is called now and then with the number of entries that are done.
    """
    array = stage.arrays[name]
    h = step or step_for(scheme, array)
    sweep = _Sweep(stage, name, scheme, question, watch, h)
    found = sweep.run(np.arange(array.size) if entries is None else np.unique(entries), tick)
    if scheme.is_complex:
        return _with_rounding(stage, sweep, found)
    found = _with_unit(found, array, h)
    for factor in SHORTER:
        outside = np.flatnonzero(found.checked & ~np.isfinite(found.value + found.error))
        if outside.size:
            shorter = _Sweep(stage, name, scheme, question, watch, factor * h).run(outside)
            found = _merged(found, _with_unit(shorter, array, factor * h))
    return found


def _with_unit(found: Estimate, array: Array, step: float) -> Estimate:
    """With the rounding of x + h."""
    return replace(found, error=found.error + 2 * _UNIT * np.abs(array) / step * np.abs(found.value))


def _merged(found: Estimate, shorter: Estimate) -> Estimate:
    """The first estimate, but for the entries that the second one has evaluated by a step that stays in the domain."""

    def chosen(first: Array, second: Array) -> Array:
        return np.where(shorter.checked, second, first)

    return replace(
        found,
        value=chosen(found.value, shorter.value),
        error=chosen(found.error, shorter.error),
        magnitude=chosen(found.magnitude, shorter.magnitude),
        kink=chosen(found.kink, shorter.kink),
        reduced={key: chosen(found.reduced[key], shorter.reduced[key]) for key in found.reduced},
    )


class _Sweep:
    """One pass over the entries of one tensor."""

    def __init__(
        self, stage: Stage, name: str, scheme: Scheme, question: Question, watch: KinkWatch | None, step: float
    ) -> None:
        self.stage, self.name, self.scheme, self.question, self.watch, self.step = (
            stage, name, scheme, question, watch, step,
        )  # fmt: skip
        self.shape = stage.arrays[name].shape
        self.fused = stage.sample_by_sample(name)

    def run(self, entries: Array, tick: Callable[[int], None] | None = None) -> Estimate:
        size = int(np.prod(self.shape))
        results = {key: np.zeros(size) for key in ("value", "wide", "magnitude", "noise", *self.question.others)}
        kink, checked = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
        features = int(np.prod(self.shape[1:])) if self.fused else size
        moving = np.unique(entries % features) if self.fused else entries
        for moves in Moves(self.name, moving, self.shape, self.fused).chunks(self.stage.chunk(self.name)):
            derivative, wide, met = self._derivatives(moves)
            where = self._positions(moves)
            for key, row in self._contracted(derivative, wide).items():
                results[key][where] = row
            kink[where] = met if self.fused else met.any(axis=1)
            checked[where] = True
            if tick is not None:
                tick(int(checked.sum()))
        arrays = {key: row.reshape(self.shape) for key, row in results.items()}
        order = max(self.scheme.order, 1)
        truncation = np.abs(arrays["value"] - arrays["wide"]) / (2.0**order - 1)
        error = np.zeros(self.shape) if self.scheme.is_complex else 2 * truncation + arrays["noise"]
        return Estimate(
            self.scheme.name, self.step, arrays["value"], error, arrays["magnitude"], kink.reshape(self.shape),
            {key: arrays[key] for key in self.question.others}, checked.reshape(self.shape),
        )  # fmt: skip

    def _derivatives(self, moves: Moves) -> tuple[Array, Array, Array]:
        """(K, columns) at step h, the same at 2h, and which copies and samples met a kink (K, N)."""
        seen: dict[complex, Array] = {}
        copies, samples = len(moves), self.stage.point.batch_size
        if self.watch is not None:
            self.watch.start(copies, samples)

        def at(offset: complex) -> Array:
            if offset not in seen:
                steps = np.full(copies, offset * self.step)
                seen[offset] = perturbed_observables(self.stage, moves, steps, self.watch)
            return seen[offset]

        derivative = self.scheme.combine([at(offset) for offset in self.scheme.offsets], self.step)
        met = self.watch.met.copy() if self.watch is not None else np.zeros((copies, samples), dtype=bool)
        if self.scheme.is_complex:
            return derivative, derivative, met
        wide = self.scheme.combine([at(2 * offset) for offset in self.scheme.offsets], 2 * self.step)
        return derivative, wide, met

    def _contracted(self, derivative: Array, wide: Array) -> dict[Any, Array]:
        question = self.question
        noise = (
            6 * self.scheme.noise_gain() / self.step * self._rms(question.objective * question.noise, len(derivative))
        )
        return {
            "value": self._weighted(derivative, question.objective),
            "wide": self._weighted(wide, question.objective),
            "magnitude": self._weighted(np.abs(derivative), np.abs(question.objective)),
            "noise": noise,
            **{key: self._weighted(derivative, weights) for key, weights in question.others.items()},
        }

    def _weighted(self, columns: Array, weights: Array) -> Array:
        if not self.fused:
            product: Array = columns @ weights
            return product
        blocks = columns.reshape(len(columns), -1, self.shape[0])
        per_sample: Array = np.einsum("kbn,bn->kn", blocks, weights.reshape(-1, self.shape[0]))
        return per_sample

    def _rms(self, deviations: Array, copies: int) -> Array:
        if not self.fused:
            return np.full(copies, np.sqrt(np.sum(deviations**2)))
        per_sample = np.sqrt(np.sum(deviations.reshape(-1, self.shape[0]) ** 2, axis=0))
        return np.broadcast_to(per_sample, (copies, self.shape[0]))

    def _positions(self, moves: Moves) -> Array:
        """Flat positions in the tensor: (K,), or (K, N) where all samples were moved at once."""
        if not self.fused:
            return moves.entries
        features = int(np.prod(self.shape[1:]))
        positions: Array = moves.entries[:, None] + features * np.arange(self.shape[0])
        return positions


def _with_rounding(stage: Stage, sweep: _Sweep, found: Estimate) -> Estimate:
    """The error of a complex step, with its rounding measured on some entries."""
    flat = np.abs(found.value).reshape(-1)
    evenly = np.linspace(0, flat.size - 1, _SAMPLED).astype(int)
    sampled = np.unique(np.concatenate([evenly, np.argsort(flat)[-2:]]))
    sampled = sampled[(found.checked & ~found.kink).reshape(-1)[sampled]]
    at = found.value.reshape(-1)[sampled]
    change = max(_nearby(stage, sweep, sampled, at), default=0.0)
    greatest = float(np.max(flat, initial=0.0))
    error = 16 * _UNIT * found.magnitude + 64 * _UNIT * greatest + 10 * change
    return replace(found, error=error)


def _nearby(stage: Stage, sweep: _Sweep, sampled: Array, at: Array) -> Iterator[float]:
    """How the sampled entries change when every number moves by one unit in the last place, and in a wider precision.

    A move may leave the branch of a layer that does not say where it has kinks, so only the usual change counts there;
    a wider precision takes the same branches.
    """
    if not sampled.size:
        return
    for seed in (1, 2):
        point = stage.point.map(lambda array, seed=seed: moved(array, seed))  # type: ignore[misc]
        yield float(np.median(np.abs(_again(stage, sweep, sampled, point) - at)))
    with suppress(Exception):
        yield float(np.max(np.abs(_again(stage, sweep, sampled, wider(stage.point)) - at)))


def _again(stage: Stage, sweep: _Sweep, sampled: Array, point: Point) -> Array:
    other = Stage(stage.network, point, stage.coupled, stage.observables)
    question = replace(sweep.question, others={})
    again = _Sweep(other, sweep.name, sweep.scheme, question, None, sweep.step).run(sampled)
    return again.value.reshape(-1)[sampled]
