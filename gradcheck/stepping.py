"""One entry at many steps: its error against a reference, the slopes on both sides of the plateau, the step to take.

With e(h) = |D(h) - reference|, p the order of the scheme and s(h) the bound of its noise,

    truncation side   e ~ C h^p      points with e > 4 s, from the longest step down to where the noise takes over
    noise side        e ~ 1 / h      points with s > 10 C h^p, whatever their error
    plateau           around the chosen step, as long as e stays within its error bar

Both sides are chosen by what is predicted there, and slopes are medians over all pairs of points (Theil 1950, Sen
1968): the error of a single step on the noise side is as good as random.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec.structs
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.evidence import Evidence, Progress, gather
from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric._steps import Change, Step
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import Rungs, climb, plateau
from gradcheck.gradients.numeric.schemes import SCHEMES, Scheme, scale_of
from gradcheck.network import Network, Node
from gradcheck.spec.case import Case
from gradcheck.step_sweep import (
    COMPLEX_STEP,
    LADDER,
    ONE_STEP,
    Choice,
    Default,
    Reference,
    Slope,
    StepPoint,
    StepSweep,
)

Array = NDArray[Any]
#: Steps of a difference, relative to the tensor's scale: exponents of the longest and the shortest, and how many a
#: decade.
_LONGEST, _SHORTEST, _A_DECADE = -1, -14, 8
#: Every third of them makes a ladder with the ratio 10^(3/8) = 2.4, in which no power of two occurs.
_THINNED = 3
#: A complex step may be as short as floats are: from here on, every so many decades.
_COMPLEX_SHORTEST, _COMPLEX_STRIDE = -300, 2
#: Points of the truncation side stand so many times above the noise and above the reference's own error.
_ABOVE_NOISE, _ABOVE_REFERENCE = 4, 10
#: On the noise side the noise is predicted so many times greater than the truncation and the reference's own error.
_DOMINATES = 10
#: The truncation side is fitted on its shortest steps, where it has become a power of h.
_FITTED = 16
#: Fewer points, or less between their steps (in decades), give no slope.
_LEAST_POINTS = {"truncation": 5, "noise": 8}
_LEAST_DECADES = {"truncation": 0.5, "noise": 1.0}


def sweep_steps(case: Case, method: str, progress: Progress) -> StepSweep:
    """The entry that the case asks for (`case.gradient.entries` has just one), by the scheme called `method`.

    progress is called as `gather` does it. UsageError where `complex` is demanded and a layer is not safe under it.
    """
    with np.errstate(all="ignore"):
        return _Sweep(case, method, progress).result()


class _NamingWatch(KinkWatch):
    """Remembers which layers have left their piece; of an input only the sample that it belongs to counts."""

    def __init__(self, network: Network, arrays: Mapping[str, Array], sample: int | slice) -> None:
        super().__init__(network, arrays)
        self.sample = sample
        self.layers: dict[str, None] = {}

    def see(self, node: Node, copies: Copies, changed: Mapping[str, Change], step: Step) -> None:
        """As the watch does, with the layer's name."""
        before = self._count()
        super().see(node, copies, changed, step)
        if self._count() > before:
            self.layers[node.name] = None

    def see_losses(self, copies: Copies, changed: Mapping[str, Change], step: Step) -> None:
        """As the watch does, term by term, with its name."""
        terms = self.terms
        for term in terms:
            before = self._count()
            self.terms = (term,)
            super().see_losses(copies, changed, step)
            if self._count() > before:
                self.layers[term.name] = None
        self.terms = terms

    def _count(self) -> int:
        return int(self.met[:, self.sample].sum())


class _Measured(Struct, frozen=True):
    """The points as arrays, steps falling; `step`, `value`, `error`, `noise`, `kink` are those of `StepPoint`."""

    step: Array
    value: Array
    error: Array
    noise: Array
    kink: Array

    @property
    def usable(self) -> Array:
        """Points that a slope may be fitted to: log error exists, and no kink has been met."""
        return np.isfinite(self.error) & (self.error > 0) & ~self.kink


class _Sweep:
    """One entry under the eyes of both witnesses."""

    def __init__(self, case: Case, method: str, progress: Progress) -> None:
        ((self.name, self.index),) = case.gradient.entries
        # `auto` never refuses; whether the method itself is possible is asked below
        plan = replace(case.gradient, method="auto" if case.gradient.method == "complex" else case.gradient.method)
        self.case = replace(case, checks=(), gradient=plan)
        self.scheme: Scheme = SCHEMES[method]
        self.evidence: Evidence = gather(self.case, "", progress)
        stage = self.evidence.stage
        self.array = stage.arrays[self.name]
        self.flat = np.array([np.ravel_multi_index(self.index, self.array.shape) if self.index else 0])
        sample = self.index[0] if stage.sample_by_sample(self.name) else slice(None)
        self.watch = _NamingWatch(stage.network, stage.arrays, sample)
        self.offender = self.evidence.offender(self.name)
        if self.scheme.is_complex and self.offender is not None:
            raise UsageError(
                f"--method complex cannot be used on {case.path}: {self._why_not_complex()}; use --method central"
            )

    def result(self) -> StepSweep:
        """Everything that is to be said."""
        rungs = self._climb()
        choice = self._choice(rungs)
        reference = self._reference(choice)
        measured = _measured(rungs, reference)
        truncation = self._truncation(measured, reference)
        return StepSweep(
            path=self.case.path,
            name=self.case.name,
            seed=self.case.seed,
            parameter=self.name,
            index=self.index,
            at=float(self.array[self.index]),
            scheme=self.scheme.name,
            order=self._order(),
            subtracts=not self.scheme.is_complex,
            points=_plain(measured),
            reference=reference,
            analytic=float(self.evidence.gradient(self.name)[self.index]),
            truncation=truncation,
            noise=self._noise(measured, reference, truncation),
            plateau=_extent(measured, choice, reference),
            choice=choice,
            default=self._default(),
            kink_layers=tuple(self.watch.layers),
            failure=self._failure(),
        )

    def _order(self) -> int:
        """Im f(x + ih) / h has the truncation f''' h² / 6."""
        return self.scheme.order or 2

    def _why_not_complex(self) -> str:
        assert self.offender is not None
        return f"{self.offender} {self.evidence.unsafe[self.offender]}"

    def _failure(self) -> str:
        if np.isfinite(self.evidence.gradient(self.name)[self.index]):
            return ""
        return next((failure.message for failure in self.evidence.analytic.failures), "backward is not finite here")

    def _climb(self) -> Rungs:
        question = self.evidence.asked
        scale = scale_of(self.array)
        steps = scale * _relative_steps(self.scheme)
        return climb(self.evidence.stage, self.name, self.flat, self.scheme, question, steps, self.watch)

    def _reference(self, choice: Choice) -> Reference:
        if self.offender is None:
            found = self.evidence.again(self.name, "complex", None, self.flat)
            return Reference(float(found.value[self.index]), float(found.error[self.index]), COMPLEX_STEP)
        reason = self._why_not_complex()
        best, _ = self.evidence.ladder(self.name, self.flat)
        value, error = float(best.value[0]), float(best.error[0])
        contradicted = choice.settled and abs(choice.value - value) > choice.error_bar + error
        if best.settled[0] and not contradicted:
            return Reference(value, error, LADDER, reason)
        return Reference(choice.value, float("inf"), ONE_STEP, reason)

    def _choice(self, rungs: Rungs) -> Choice:
        if self.scheme.is_complex:
            only = self.evidence.again(self.name, "complex", None, self.flat)
            value, error = float(only.value[self.index]), float(only.error[self.index])
            return Choice(only.step, value, error, settled=not only.kink[self.index])
        found = plateau(_credible(rungs), self.scheme.order)
        if found.settled[0]:
            step = rungs.steps[::_THINNED][found.rung[0]]
            return Choice(float(step), float(found.value[0]), float(found.error[0]), settled=True)
        usual = self.evidence.again(self.name, self.scheme.name, None, self.flat)
        return Choice(usual.step, float(usual.value[self.index]), float("inf"), settled=False)

    def _default(self) -> Default:
        found = self.evidence.estimates[self.name]
        scheme, reason = self.evidence.schemes[self.name]
        return Default(scheme, found.step, float(found.value[self.index]), float(found.error[self.index]), reason)

    def _truncation(self, measured: _Measured, reference: Reference) -> Slope:
        floor = np.maximum(_ABOVE_NOISE * measured.noise, _ABOVE_REFERENCE * reference.error)
        above = _leading(measured.usable, measured.error > floor)[-_FITTED:]
        reason = _against(measured, reference) or f"too few points above the noise ({len(above)})"
        return _fitted(measured, above, self._order(), "truncation", reason)

    def _noise(self, measured: _Measured, reference: Reference, truncation: Slope) -> Slope:
        if self.scheme.is_complex:
            return Slope(-1.0, reason="the complex step subtracts nothing, so its rounding does not grow as h falls")
        other = np.maximum(truncation.constant * measured.step**truncation.expected, reference.error)
        # a step too short to move the loss at all says D = 0 and shows no noise
        moves = (measured.value != 0) | (reference.value == 0)
        alone = measured.usable & moves & (measured.noise > _DOMINATES * other)
        if truncation.points:
            alone &= measured.step < truncation.shortest
        where = np.flatnonzero(alone)
        reason = _against(measured, reference) or f"too few steps at which noise is all there is ({len(where)})"
        return _fitted(measured, where, -1.0, "noise", reason)


def _measured(rungs: Rungs, reference: Reference) -> _Measured:
    value = rungs.values[:, 0]
    return _Measured(rungs.steps, value, np.abs(value - reference.value), rungs.noise[:, 0], rungs.kink[:, 0])


def _credible(rungs: Rungs) -> Rungs:
    """Steps as far apart as the rule of the plateau wants them, without those too short to move the loss at all.

    These agree with each other, on 0, and are told by a longer step that sees a slope above its noise.
    """
    values, noise = rungs.values, rungs.noise
    still = (values == 0) & (np.abs(values) > noise).any(axis=0)
    rows = {"steps": rungs.steps, "values": values, "noise": noise, "kink": rungs.kink | still}
    return msgspec.structs.replace(rungs, **{name: row[::_THINNED] for name, row in rows.items()})


def _relative_steps(scheme: Scheme) -> Array:
    """Falling. Those of a complex step go on to the shortest numbers there are."""
    decades = np.arange(-_LONGEST * _A_DECADE, -_SHORTEST * _A_DECADE + 1) / _A_DECADE
    if scheme.is_complex:
        beyond = np.arange(-_SHORTEST + _COMPLEX_STRIDE, -_COMPLEX_SHORTEST + 1, _COMPLEX_STRIDE)
        decades = np.concatenate([decades, beyond])
    steps: Array = 10.0**-decades
    return steps


def _leading(usable: Array, above: Array) -> Array:
    """The usable points that are `above`, from the longest step down to where two in a row are not."""
    leading: list[int] = []
    missed = 0
    for k in np.flatnonzero(usable):
        missed = 0 if above[k] else missed + 1
        if missed == 2:
            break
        if above[k]:
            leading.append(int(k))
    return np.array(leading, dtype=int)


def _against(measured: _Measured, reference: Reference) -> str:
    """What stands against any slope at all; empty if nothing does."""
    if measured.kink.all():
        return "every step met a kink"
    if not (measured.error > 0).any():
        return "no error to be seen"
    return "" if np.isfinite(reference.error) else "nothing vouches for the reference"


def _fitted(measured: _Measured, where: Array, expected: float, side: str, otherwise: str) -> Slope:
    """The slope through some points; what stands against it, where there are too few."""
    step, error = np.log10(measured.step[where]), np.log10(measured.error[where])
    constant = float(10 ** np.median(error - expected * step)) if len(where) else 0.0
    if len(where) < _LEAST_POINTS[side] or np.ptp(step) < _LEAST_DECADES[side]:
        return Slope(expected, constant=constant, reason=otherwise)
    i, j = np.triu_indices(len(where), 1)
    slope = float(np.median((error[j] - error[i]) / (step[j] - step[i])))
    steps = measured.step[where]
    return Slope(expected, slope, len(where), float(steps.min()), float(steps.max()), constant)


def _extent(measured: _Measured, choice: Choice, reference: Reference) -> tuple[float, float] | None:
    """The steps around the chosen one, without a gap, whose error is within its bar and the reference's own."""
    if not (choice.settled and np.isfinite(reference.error)):
        return None
    within = (measured.error <= choice.error_bar + reference.error) & ~measured.kink
    start = int(np.argmin(np.abs(np.log(measured.step / choice.step))))
    if not within[start]:
        return None
    outside = np.flatnonzero(~within)
    first = int(np.max(outside[outside < start], initial=-1)) + 1
    last = int(np.min(outside[outside > start], initial=len(within))) - 1
    return float(measured.step[last]), float(measured.step[first])


def _plain(measured: _Measured) -> tuple[StepPoint, ...]:
    columns = zip(measured.step, measured.value, measured.error, measured.noise, measured.kink, strict=True)
    return tuple(StepPoint(float(h), float(d), float(e), float(s), bool(k)) for h, d, e, s, k in columns)
