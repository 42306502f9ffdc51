"""Both witnesses heard: the analytic and the numeric gradient of everything that a case asks for, with their errors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck._course import SWEPT, Course
from gradcheck._ground import Ground
from gradcheck._scene import Scene, Sweep, offender, prepare
from gradcheck.errors import LayerFailure
from gradcheck.gradients.analytic import (
    Analytic,
    Objective,
    Spread,
    gradient,
    greatest_rounding,
    spread,
    spread_along,
)
from gradcheck.gradients.numeric.draws import along, apart, norm
from gradcheck.gradients.numeric.estimate import Estimate, estimate, estimate_in_wider_precision, in_wider_precision
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import Plateau, Question, best_two, climb, ladder_steps
from gradcheck.gradients.numeric.noise import forward_noise
from gradcheck.gradients.numeric.probe import Probe, rounded, sweep_of
from gradcheck.gradients.numeric.schemes import SCHEMES, scale_of
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.losses._base import DIVIDED_REDUCTIONS
from gradcheck.network import Term
from gradcheck.spec.case import Case

Array = NDArray[Any]
Found = TypeVar("Found")
#: What must be told apart, relative to the entry, by precision of the analytic side.
RESOLUTION = {"float64": 1e-6, "float32": 1e-3}
#: Relative to a tensor: longer than every step of a difference, short enough to stay where the network is.
_LONG_STEP = 2.0**-8
#: Roundings of its greatest entry that a gradient is usually off by, at most.
_USUAL_ROUNDING = 16
_UNIT = float(np.finfo(np.float64).eps) / 2
#: The mantissa of a power of two.
_POWER_OF_TWO = 0.5
Progress = Callable[[int, int, str], None]


class Evidence(Struct, frozen=True):
    """What the checks judge.

    stage      the network at its point in float64
    analytic   the backward pass, in the case's precision
    spread     its rounding, by name
    estimates  the numeric gradients of parameters and inputs, by name
    schemes    by name, which scheme was chosen, and why if it is not the complex step
    unsafe     the layers whose complex step is not their derivative, and why
    replay     the command that repeats this run, without an entry
    course     whether entries were looked at, or directions
    probe      the directions; None where entries were looked at

    Of a tensor that was probed along directions an estimate, its spread and its gradient have the draws in the entries'
    place: one number for each.
    """

    case: Case
    stage: Stage
    analytic: Analytic
    spread: Mapping[str, Spread]
    estimates: Mapping[str, Estimate]
    schemes: Mapping[str, tuple[str, str]]
    unsafe: Mapping[str, str]
    question: Question
    watch: KinkWatch
    replay: str
    course: Course = SWEPT
    probe: Probe | None = None
    _known: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def ground(self) -> Ground:
        """What was known before any difference was taken."""
        return Ground(self.case, self.stage, self.analytic)

    @property
    def unit(self) -> float:
        """Unit roundoff u of the analytic side."""
        return self.ground.unit

    @property
    def underflow(self) -> float:
        """Below this a gradient may have vanished on its way through the analytic side's precision."""
        return self.ground.underflow

    @property
    def defined(self) -> bool:
        """Whether every loss is finite at the point."""
        return all(bool(np.isfinite(losses).all()) for losses in self.analytic.trace.losses)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters and real inputs, in the order of the report."""
        return tuple(self.estimates)

    @property
    def failures(self) -> tuple[LayerFailure, ...]:
        """What the backward passes did against the contract, but for parameters that are not to be checked."""
        return tuple(f for f in self.analytic.failures if f.parameter not in self.case.skipped)

    def gradient(self, name: str) -> Array:
        """The analytic gradient in float64; along the draws where there are any."""
        return self.once(("gradient", name), lambda: self.seen(name, self.analytic.gradients[name]))

    def seen(self, name: str, gradient: Array, samples: slice = slice(None)) -> Array:
        """A gradient of a tensor in float64; its slopes along the draws, Σ g v, where there are any.

        samples  the gradient is that of these samples alone, where the tensor has samples
        """
        if self.probe is None or name not in self.estimates:
            return np.asarray(gradient, dtype=np.float64)
        rays = self.probe.draws.rays(name, self.stage.arrays[name].shape)
        return np.array([along(gradient, ray.signs[samples]) for ray in rays])

    def usual(self, name: str) -> float:
        """‖g‖ of what backward says: the usual size of a slope along a direction; 0 where entries are looked at."""
        if self.probe is None:
            return 0.0
        return self.once(("usual", name), lambda: norm(np.asarray(self.analytic.gradients[name])))

    def noticeable(self, name: str, proved: bool) -> float:
        """r Σ|loss| / |x|: the gradient by which a move of the tensor by its own size changes the loss by a part r.

        0 where a move far greater than any step of a difference does change it: then the forward is a staircase, whose
        steps the differences have not left.

        proved  whether the numeric gradient is that of the complex step, which knows of no steps
        """
        network = self.case.network
        reached = network.reached([name])
        terms = zip(network.terms, self.analytic.trace.losses, strict=True)
        total = sum(abs(t.weight) * _magnitude(t, losses, self.stage.arrays) for t, losses in terms if t in reached)
        size = scale_of(self.stage.arrays[name])
        change = 0.0 if proved and total else self._change(name, size)
        least = RESOLUTION[self.case.dtype] * (total or change / _LONG_STEP) / size
        if not proved and not change <= least * size:
            return 0.0
        return least + self.underflow + self.estimates[name].underflow

    def _change(self, name: str, size: float) -> float:
        """How much a long move of the whole tensor changes the terms of the loss that depend on it, to or fro.

        A move that leaves the domain of a forward says nothing.
        """
        array = self.stage.arrays[name]
        direction = np.random.default_rng(array.size).choice([-1.0, 1.0], array.shape)
        network = replace(self.case.network, terms=self.case.network.reached([name]))
        here, changes = network.objective(network.forward(self.case.point)), [0.0]
        for step in (-_LONG_STEP, _LONG_STEP):
            moved = self.case.point.with_arrays({name: array + step * size * direction})
            with suppress(LayerFailure):
                changes.append(abs(network.objective(network.forward(moved)) - here))
        return float(np.max(changes))

    def offender(self, name: str) -> str | None:
        """The first layer between the tensor and the loss whose complex step is not its derivative."""
        return offender(self.case, name, self.unsafe)

    def rounding(self, name: str) -> Array:
        """s of a tensor where it has a derivative; 0 at kinks, where a move by one unit may change the branch."""
        found = self.estimates.get(name)
        s = self.spread[name].greatest
        return s if found is None else np.where(found.kink & ~found.inside, 0.0, s)

    def greatest_rounding(self, name: str) -> float:
        """The greatest s of a tensor."""
        return self.once(("rounding", name), lambda: float(np.max(self.rounding(name), initial=0.0)))

    def under(self, objective: Objective) -> tuple[Analytic, dict[str, float]]:
        """The backward pass for another objective, and the greatest rounding of each of its gradients, by name.

        Along directions, 0: there the rounding of the declared objective counts alone.
        """

        def compute() -> tuple[Analytic, dict[str, float]]:
            network, point = self.case.network, self.case.point.cast(self.case.dtype)
            found = gradient(network, point, objective)
            if self.probe is not None:
                return found, dict.fromkeys(found.gradients, 0.0)
            return found, self._rounding_under(objective, found)

        return self.once(objective, compute)

    def _rounding_under(self, objective: Objective, found: Analytic) -> dict[str, float]:
        """The greatest rounding of each gradient, measured in a wider precision where it is not known.

        The reduction of the only term rounds as the declared objective does; and a mean over the samples as one over
        all losses, unless that divides by a power of two, and so rounds nothing. In the same way a sum may be exact
        where these are not, and says nothing about them.
        """
        network, point = self.case.network, self.case.point.cast(self.case.dtype)
        (only, *others) = network.terms
        divisor = self._divisor(objective.term, objective.reduction)
        if divisor is not None and objective.reduction == only.reduction and only.weight and not others:
            return {name: float(np.max(s.wide, initial=0.0)) / abs(only.weight) for name, s in self.spread.items()}
        over_losses = self._divisor(objective.term, "mean") or 1.0
        if divisor is not None and objective.reduction == "batch_mean" and np.frexp(over_losses)[0] != _POWER_OF_TWO:
            _, rounding = self.under(replace(objective, reduction="mean"))
            return {name: over_losses / divisor * greatest for name, greatest in rounding.items()}
        linear = self._rounding_if_linear(objective, found, divisor)
        return greatest_rounding(network, point, found, objective) if linear is None else linear

    def _rounding_if_linear(
        self, objective: Objective, found: Analytic, divisor: float | None
    ) -> dict[str, float] | None:
        """The same from the declared objective's gradient G in the wider precision, which is D / (w D') times as great:

            s = max|g - G D / (w D')| + u max|G D / (w D')|

        as G is kept in float64. None where that is not known, or is more than rounding usually is: a backward that is
        not linear in its upstream gradient has no such factor.
        """
        (only, *others) = self.case.network.terms
        declared = self._divisor(objective.term, only.reduction)
        narrow = any(s.unit >= found.units[name] for name, s in self.spread.items())
        if divisor is None or declared is None or others or not only.weight or narrow:
            return None
        factor = np.longdouble(declared) / (np.longdouble(only.weight) * divisor)
        rounding = {}
        for name, s in self.spread.items():
            expected = factor * s.value
            size = float(np.max(np.abs(expected), initial=0.0))
            off = float(np.max(np.abs(found.gradients[name] - expected), initial=0.0))
            if not off <= _USUAL_ROUNDING * found.units[name] * size:
                return None
            rounding[name] = off + _UNIT * size
        return rounding

    def _divisor(self, position: int | None, reduction: str | None) -> float | None:
        """D of an elementwise term; None where its reduction is applied inside of it, or is no division."""
        if position is None or reduction not in DIVIDED_REDUCTIONS:
            return None
        term, losses = self.case.network.terms[position], self.analytic.trace.losses[position]
        return term.divisor(reduction, self.stage.arrays, np.shape(losses)) if term.elementwise else None

    @property
    def asked(self) -> Question:
        """The question of a second look: about the objective alone, by whatever scheme, so the noise must be known."""

        def compute() -> Question:
            known = np.isfinite(self.question.noise).all()
            noise = self.question.noise if known else forward_noise(self.stage)
            return replace(self.question, others={}, noise=noise)

        return self.once("asked", compute)

    def once(self, key: Hashable, compute: Callable[[], Found]) -> Found:
        """What several checks ask for is computed once."""
        if key not in self._known:
            self._known[key] = compute()
        found: Found = self._known[key]
        return found

    def again(self, name: str, scheme: str, step: float | None, entries: Array) -> Estimate:
        """Another numeric estimate of some entries (flat indices), or draws, by another scheme or step."""
        question = self.asked
        if self.probe is not None:
            return self.probe.estimate(self.stage, name, SCHEMES[scheme], question, self.watch, step, entries)
        greatest = self.estimates[name].greatest
        return estimate(self.stage, name, SCHEMES[scheme], question, self.watch, step, entries, greatest=greatest)

    def in_wider_precision(self, name: str, entries: Array) -> Estimate | None:
        """The complex step of some entries (flat indices) in long double, where every forward computes in it."""
        return estimate_in_wider_precision(self.stage, name, self.asked, self.estimates[name], entries)

    def ladder(self, name: str, entries: Array) -> tuple[Plateau, Plateau]:
        """The two best plateaus of central differences, extrapolated, for some entries (flat indices), or draws."""
        question = self.asked
        steps = ladder_steps(self.stage.arrays[name])
        scheme = SCHEMES["central"]
        if self.probe is None:
            return best_two(climb(self.stage, name, entries, scheme, question, steps, self.watch), scheme)
        sweep = sweep_of(self.probe.draws)
        rungs = sweep(self.stage, name, entries, scheme, question, steps, self.watch)
        return best_two(rounded(self.stage.arrays[name], rungs), scheme)

    def ladder_in_wider_precision(self, name: str, entries: Array) -> Plateau | None:
        """The best plateau of some entries (flat indices) in long double, if the forward answers in it.

        Its noise is measured there: a forward that computes in float64 on the way is as noisy as ever.
        """
        wide, scheme = in_wider_precision(self.stage), SCHEMES["central"]
        if wide is None:
            return None
        with suppress(LayerFailure):
            noise = self.once("noise in wider precision", lambda: forward_noise(wide).astype(np.float64))
            question = replace(self.asked, noise=noise)
            rungs = climb(wide, name, entries, scheme, question, ladder_steps(self.stage.arrays[name]), self.watch)
            return best_two(rungs, scheme)[0]
        return None

    def entries(self) -> Evidence:
        """The same evidence without its directions, for entries that are asked for one by one with `again`."""
        return replace(self, probe=None, _known={})


def gather(
    case: Case,
    replay: str,
    progress: Progress,
    sweep: Sweep | None = None,
    scene: Scene | None = None,
    left_out: Collection[str] = (),
) -> Evidence:
    """Hear both witnesses. UsageError where `complex` is demanded and a layer is not safe under it.

    progress  is called with (entries done, entries in all, name of the tensor)
    sweep     evaluates all entries (or draws) of a tensor at the usual step, where that has been done elsewhere
    scene     the case, prepared, where that was done already
    left_out  the tensors that nothing is to be said about
    """
    scene = (scene or prepare(case)).fresh()
    case, probe = scene.case, scene.probe()
    names = [name for name in scene.schemes if name not in left_out]
    estimates: dict[str, Estimate] = {}
    total = sum(scene.size(name) for name in names)
    done = 0
    for name in names:
        tick = partial(_tick, progress, done, total, name)
        tick(0)
        estimates[name] = scene.estimate(name, sweep, tick, probe)
        done += scene.size(name)
    progress(total, total, "")
    if probe is not None:
        probe.forget()
    return Evidence(
        case, scene.stage, scene.analytic, _spread(scene, probe), estimates, scene.schemes, scene.unsafe,
        scene.question, scene.watch, replay, scene.course, probe, dict(scene.known),
    )  # fmt: skip


def _spread(scene: Scene, probe: Probe | None) -> Mapping[str, Spread]:
    """The rounding of the analytic side, entry by entry or along the draws."""
    network, point = scene.case.network, scene.case.point.cast(scene.case.dtype)
    if probe is None:
        return spread(network, point, scene.analytic)

    def slopes(name: str, gradient: Array) -> Array:
        rays = probe.draws.rays(name, scene.stage.arrays[name].shape)
        return np.array([along(gradient, ray.signs) for ray in rays])

    return spread_along(network, point, scene.analytic, scene.schemes.keys(), apart, slopes)


def _tick(progress: Progress, done: int, total: int, name: str, entries: int) -> None:
    progress(done + entries, total, name)


def _magnitude(term: Term, losses: Any, arrays: Mapping[str, Array]) -> float:
    """Σ|loss|, divided as the reduction does."""
    if not term.elementwise:
        return float(np.abs(losses))
    divisor = term.divisor(term.reduction, arrays, np.shape(losses)) or 1.0
    return float(np.sum(np.abs(losses))) / divisor
