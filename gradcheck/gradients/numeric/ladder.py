"""One scheme at several steps, and the plateau between truncation and noise.

With D(h) a scheme of order p at step h, and steps h₀ > h₁ > h₂ …, ρ = hₖ₋₁ / hₖ:

    truncation of D(hₖ)   tₖ = |D(hₖ₋₁) - D(hₖ)| / (ρᵠ - 1)               q the power of h that it falls with at least
    noise of D(hₖ)        sₖ = 6 ε ‖w‖ / hₖ + 2 u |x| / hₖ · |D(hₖ)|       ε the measured noise of the forward
                               + 16 u Σ|gᵢ|                             gᵢ the slopes of the samples
    extrapolation         (ρᵖ D(hₖ) - D(hₖ₋₁)) / (ρᵖ - 1)                   the next order; its noise likewise

q is p where the function has p + 1 derivatives, and 1 where only the slope is known to be continuous (a huber at its
threshold, whose slope has a kink). Nobody knows that of a function of somebody else, so bars take q = 1.

Truncation falls with the step and noise grows, so the error has a least place: the plateau. An estimate is not a bound
(an oscillation may happen to look flat at two steps), so rung k is accepted only if three rungs agree, D(hₖ₊₁) being no
farther from D(hₖ) than the truncation and the noise that are claimed, and if no shorter step contradicts it. No power
of two lies between the steps, and a ladder without a plateau has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.gradients.numeric.entries import Moves
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.schemes import Scheme, scale_of
from gradcheck.gradients.numeric.sweep import Stage, perturbed_observables

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Standard deviations of the forward's noise that a bar leaves room for.
_DEVIATIONS = 6
#: Roundings of what is added up, in units of Σ|gᵢ|: they are left where all values are 0 at the point, and ε with them.
SUMMED = 16
#: Between the steps of a ladder: the square of the golden ratio, the number that fractions approach worst.
RATIO = (3 + 5**0.5) / 2
#: The longest step of a ladder relative to the array's scale, and how many there are.
_LONGEST, _RUNGS = 2.0**-3, 16
#: q where nothing is known of a function but that its slope is continuous.
LEAST_ORDER = 1
#: How many higher orders are extrapolated from a ladder.
_EXTRAPOLATED = 2


class Question(Struct, frozen=True, dict=True):
    """What is asked of a sweep: the weights of the objective, and of everything else that is linear in the same losses.

    objective  (columns,)
    others     further vectors of weights by key
    noise      standard deviation of each column's rounding error: (columns,)
    """

    objective: Array
    others: Mapping[Any, Array]
    noise: Array

    @cached_property
    def sizes(self) -> Array:
        """Of the weights of the objective: (columns,)."""
        return np.abs(self.objective)


class Rungs(msgspec.Struct, frozen=True):
    """A scheme at R steps for E entries.

    steps      falling (R,)
    values     the derivative of the objective at each step (R, E)
    noise      what rounding may add to it (R, E)
    kink       whether the perturbed copies met a point without a derivative (R, E)
    magnitude  Σ over samples of |derivative| at the last step (E,)
    reduced    the derivative at the last step under each other column of weights, by its key (E,)
    """

    steps: Array
    values: Array
    noise: Array
    kink: Array
    magnitude: Array
    reduced: Mapping[Any, Array]


def side_by_side(parts: Sequence[Rungs], order: Array | None = None) -> Rungs:
    """The rungs of all entries from those of some at a time; then in another order, where one is given."""
    if len(parts) == 1 and order is None:
        return parts[0]

    def over(pieces: Sequence[Array]) -> Array:
        whole = np.concatenate(pieces, axis=-1)
        return whole if order is None else whole[..., order]

    return Rungs(
        parts[0].steps,
        over([part.values for part in parts]),
        over([part.noise for part in parts]),
        over([part.kink for part in parts]),
        over([part.magnitude for part in parts]),
        {key: over([part.reduced[key] for part in parts]) for key in parts[0].reduced},
    )


class Plateau(Struct, frozen=True):
    """The best rung of each entry. All arrays (E,).

    rung     its place among the steps
    value    the derivative there
    error    how far it may be off; infinite where no three rungs agree
    settled  whether any three rungs agree
    """

    rung: Array
    value: Array
    error: Array
    settled: Array


def ladder_steps(array: Array) -> Array:
    """The steps of a ladder for entries of an array, falling: from an eighth of its scale to a fifteen-millionth."""
    steps: Array = scale_of(array) * _LONGEST * RATIO ** -np.arange(_RUNGS, dtype=float)
    return steps


def climb(
    stage: Stage,
    name: str,
    entries: Array,
    scheme: Scheme,
    question: Question,
    steps: Array,
    watch: KinkWatch | None = None,
    tick: Callable[[int], None] | None = None,
) -> Rungs:
    """The scheme at every step for some entries (flat indices) of the named array.

    tick is called now and then with the number of entries that are done.
    """
    return _Climb(stage, name, scheme, question, watch).run(entries, np.asarray(steps, dtype=float), tick)


def plateau(rungs: Rungs, order: int = LEAST_ORDER) -> Plateau:
    """The rung with the smallest error among those that agree with both of their neighbours.

    order  q, the power of the step that the truncation falls with at least
    """
    found = [_judged(rungs, k, order) for k in range(1, len(rungs.steps) - 1)]
    errors = np.stack([error for error, _ in found])
    settled = np.stack([agrees for _, agrees in found])
    errors = np.where(settled, errors, np.inf)
    best = np.argmin(errors, axis=0)
    entries = np.arange(rungs.values.shape[1])
    return Plateau(best + 1, rungs.values[best + 1, entries], errors[best, entries], np.asarray(settled.any(axis=0)))


def extrapolated(rungs: Rungs, order: int, gain: int) -> Rungs:
    """The next order: rung k from rungs k and k - 1. `order` is that of the rungs, `gain` what the next one adds to it.

    Where two steps have no truncation between them that is above the noise, this adds noise and nothing else.
    """
    power = (rungs.steps[:-1] / rungs.steps[1:])[:, None] ** order
    return Rungs(
        rungs.steps[1:],
        (power * rungs.values[1:] - rungs.values[:-1]) / (power - 1),
        (power * rungs.noise[1:] + rungs.noise[:-1]) / (power - 1),
        rungs.kink[1:] | rungs.kink[:-1],
        rungs.magnitude,
        rungs.reduced,
    )


def best_two(rungs: Rungs, scheme: Scheme) -> tuple[Plateau, Plateau]:
    """The plateau of the order that has the smallest error for each entry, and of the order that comes second."""
    gain = 1 if scheme.order == 1 else 2
    plateaus, order = [plateau(rungs)], scheme.order
    for _ in range(_EXTRAPOLATED):
        rungs, order = extrapolated(rungs, order, gain), order + gain
        plateaus.append(plateau(rungs))
    ranking = np.argsort(np.stack([p.error for p in plateaus]), axis=0, kind="stable")
    return _ranked(plateaus, ranking[0]), _ranked(plateaus, ranking[1])


def _ranked(plateaus: list[Plateau], which: Array) -> Plateau:
    entries = np.arange(len(which))

    def chosen(part: str) -> Array:
        return np.asarray(np.stack([getattr(p, part) for p in plateaus])[which, entries])

    return Plateau(*(chosen(part) for part in ("rung", "value", "error", "settled")))


def _judged(rungs: Rungs, k: int, order: int) -> tuple[Array, Array]:
    """The error of rung k, and whether it agrees with its neighbours and all shorter steps: (E,), (E,)."""
    values, noise = rungs.values, rungs.noise
    ratio = rungs.steps[k - 1] / rungs.steps[k]
    with np.errstate(invalid="ignore"):
        truncation = np.abs(values[k - 1] - values[k]) / (ratio**order - 1)
        apart = np.abs(values[k] - values[k + 1 :]) - noise[k + 1 :]
        error = 2 * np.maximum(truncation, apart[0]) + noise[k]
        contradicted = (apart[1:] > error).any(axis=0)
        agrees = (apart[0] <= truncation + noise[k]) & ~contradicted
    usable = np.isfinite(error) & ~rungs.kink[k - 1 : k + 2].any(axis=0)
    return error, np.asarray(agrees & usable)


class _Climb:
    """One scheme on the entries of one tensor, chunk by chunk; what steps have in common is evaluated once."""

    def __init__(self, stage: Stage, name: str, scheme: Scheme, question: Question, watch: KinkWatch | None) -> None:
        self.stage, self.name, self.scheme, self.question = stage, name, scheme, question
        self.watch = None if watch is None or watch.is_idle(scheme.is_complex) else watch
        self.array = stage.arrays[name]
        self.fused = stage.sample_by_sample(name)
        self.samples = self.array.shape[0] if self.fused else 1
        self.features = self.array.size // self.samples

    def run(self, entries: Array, steps: Array, tick: Callable[[int], None] | None) -> Rungs:
        moving = np.unique(entries % self.features) if self.fused else entries
        moves = Moves(self.name, moving, self.array.shape, self.fused)
        if not len(entries):
            none = np.zeros((len(steps), 0))
            return Rungs(steps, none, none, none > 0, np.zeros(0), dict.fromkeys(self.question.others, np.zeros(0)))
        if self._is_one_evaluation(moves, steps):
            return self._evaluated_once(moves, steps, tick)
        found, done = [], 0
        for chunk in moves.chunks(self.stage.chunk(self.name)):
            found.append(self._chunk(chunk, steps))
            if tick is not None:
                done += len(chunk)
                tick(len(entries) * done // len(moves))
        values, kink, last = map(_joined, zip(*found, strict=True))
        if self.fused:
            order = self._order(moving, entries)
            values, kink, last = values[:, order], kink[:, order], last[:, order]
        magnitude, *others = last
        noise = np.zeros(values.shape)
        if not self.scheme.is_complex:
            noise = self._noise(entries, steps, values) + SUMMED * _UNIT * magnitude
        reduced = dict(zip(self.question.others, others, strict=True))
        return Rungs(steps, values, noise, kink, magnitude, reduced)

    def _is_one_evaluation(self, moves: Moves, steps: Array) -> bool:
        """Whether all copies at all steps are evaluated together, as those of a small tensor by the complex step."""
        single = self.scheme.is_complex and len(steps) == 1 and self.watch is None and not self.fused
        return single and len(moves) <= self.stage.chunk(self.name)

    def _evaluated_once(self, moves: Moves, steps: Array, tick: Callable[[int], None] | None) -> Rungs:
        """What `run` says of these, without what is done for parts of them.

        Sums are divided by the step, not what is added up: for a power of two that is the same to the last bit.
        """
        step = float(steps[0])
        moved = perturbed_observables(self.stage, moves, 1j * step)
        if tick is not None:
            tick(len(moves))
        objective, none = self.question.objective, np.zeros((1, len(moves)))
        reduced = {key: moved.dot(weights) / step for key, weights in self.question.others.items()}
        magnitude = np.abs(moved).dot(self.question.sizes) / step
        return Rungs(
            steps, (moved.dot(objective) / step)[None], none, np.zeros(none.shape, dtype=bool), magnitude, reduced
        )

    def _order(self, moving: Array, entries: Array) -> Array:
        """Where the entries stand among the features that move, in all samples at once: flat positions in (K, N)."""
        samples = self.array.shape[0]
        places: Array = np.searchsorted(moving, entries % self.features) * samples + entries // self.features
        return places

    def _chunk(self, moves: Moves, steps: Array) -> tuple[Array, Array, Array]:
        """Of the copies, or of each sample of them: values (R, E), kinks (R, E), magnitude and others (1 + O, E)."""
        entries, others, objective = len(moves) * self.samples, self.question.others, self.question.objective
        values, kink = np.empty((len(steps), entries)), np.zeros((len(steps), entries), dtype=bool)
        last = np.empty((1 + len(others), entries))
        seen: dict[complex, tuple[Array, Array | None]] = {}
        for k, step in enumerate(steps.tolist()):
            derivative = self._derivative(moves, step, seen, kink[k])
            values[k] = self._weighted(derivative, objective)
        last[0] = self._weighted(np.abs(derivative), self.question.sizes)
        for k, weights in enumerate(others.values(), start=1):
            last[k] = self._weighted(derivative, weights)
        return values, kink, last

    def _derivative(self, moves: Moves, step: float, seen: dict[complex, Any], kink: Array) -> Array:
        """At one step (K, columns), from what was seen already and what is not yet; kinks that are met are marked."""
        values = []
        for offset in self.scheme.offsets:
            at = offset * step
            if at not in seen:
                seen[at] = self._evaluated(moves, at)
            found, met = seen[at]
            values.append(found)
            if met is not None:
                kink |= met.reshape(-1) if self.fused else met.any(axis=1)
        return self.scheme.combine(values, step)

    def _evaluated(self, moves: Moves, at: complex) -> tuple[Array, Array | None]:
        """The observables there, and which copies and samples met a kink (K, N)."""
        if self.watch is not None:
            self.watch.start(len(moves), self.stage.point.batch_size)
        values = perturbed_observables(self.stage, moves, at, self.watch)
        return values, None if self.watch is None else self.watch.met

    def _noise(self, entries: Array, steps: Array, values: Array) -> Array:
        """6 ε ‖w‖ / h + 2 u |x| / h · |D(h)|: (R, E). Of the forward's noise only an entry's own sample counts."""
        reached = self.stage.observables.of(self.stage.network.reached([self.name]))
        deviations = self.question.objective * self.question.noise * reached
        per_unit = _DEVIATIONS * self.scheme.noise_gain() / steps[:, None]
        unit = float(np.finfo(self.array.dtype).eps) / 2
        moved = np.abs(self.array.reshape(-1)[entries]).astype(np.float64)
        rounding = 2 * unit * moved / steps[:, None] * np.abs(values)
        columns = deviations.reshape(-1, self.array.shape[0]) if self.fused else deviations[:, None]
        per_sample = np.sqrt(np.sum(columns**2, axis=0))
        noise: Array = per_unit * per_sample[entries // self.features] + rounding
        return noise

    def _weighted(self, columns: Array, weights: Array) -> Array:
        if not self.fused:
            product: Array = columns @ weights
            return product
        if columns.shape[1] == self.samples:
            return (columns * weights).reshape(-1)
        blocks = columns.reshape(len(columns), -1, self.samples)
        per_sample: Array = np.einsum("kbn,bn->kn", blocks, weights.reshape(-1, self.samples))
        return per_sample.reshape(-1)


def _joined(parts: Sequence[Array]) -> Array:
    """Chunk beside chunk."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
