"""A case ready to be swept: the backward pass, the network at its point, the way it goes, and by which schemes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck._course import SWEPT, Course, course
from gradcheck._ground import Ground
from gradcheck.errors import NothingSelected, UsageError
from gradcheck.gradients._moves import moved
from gradcheck.gradients.analytic import Analytic, gradient
from gradcheck.gradients.numeric.coupling import coupling
from gradcheck.gradients.numeric.draws import Draws, norm, size
from gradcheck.gradients.numeric.estimate import Estimate, estimate
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import Question, Rungs, climb
from gradcheck.gradients.numeric.noise import forward_noise
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.gradients.numeric.probe import Probe, sweep_of
from gradcheck.gradients.numeric.safety import unsafe
from gradcheck.gradients.numeric.schemes import SCHEMES
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.spec.case import Case

Array = NDArray[Any]
#: How many times ‖δ‖ no Σ δ v ever is, with v at random: exp(-8²/2) is 10⁻¹⁴.
_DEVIATIONS = 8
#: What `climb` does, wherever it is done.
Sweep = Callable[..., Rungs]


class Scene(Struct, frozen=True):
    """What every sweep of a case needs. It is the same wherever and however often it is prepared.

    schemes  by name of what is to be differentiated by, the scheme, and why if it is not the complex step
    course   whether entries are looked at, or directions
    known    what was found out before any difference was taken
    """

    case: Case
    stage: Stage
    analytic: Analytic
    schemes: Mapping[str, tuple[str, str]]
    unsafe: Mapping[str, str]
    question: Question
    watch: KinkWatch
    course: Course = SWEPT
    known: Mapping[Hashable, Any] = field(default_factory=dict)

    def fresh(self) -> Scene:
        """The same with a stage that remembers nothing of earlier sweeps."""
        return replace(self, stage=self.stage.anew())

    @property
    def draws(self) -> Draws:
        """The directions of every tensor."""
        return Draws(self.course.directions, self.case.seed)

    @property
    def climb(self) -> Sweep:
        """What evaluates the entries of a tensor, or the draws in their place."""
        return sweep_of(self.draws) if self.course.directions else climb

    def size(self, name: str) -> int:
        """How many entries of a tensor are evaluated, or draws."""
        if name in self.course.only:
            return len(self.course.only[name])
        return self.course.directions or self.stage.arrays[name].size

    def probe(self) -> Probe | None:
        """The directions, with what their bars are made of; None where entries are looked at."""
        if not self.course.directions:
            return None
        magnitude = cache(lambda name: _magnitude_along(np.asarray(self.analytic.gradients[name])))
        return Probe(self.draws, magnitude, partial(_nearby, self.stage))

    def estimate(
        self,
        name: str,
        sweep: Sweep | None = None,
        tick: Callable[[int], None] | None = None,
        probe: Probe | None = None,
    ) -> Estimate:
        """The numeric gradient of one tensor, along the draws of the probe where there is one."""
        scheme, step = SCHEMES[self.schemes[name][0]], self.case.gradient.step
        if probe is not None:
            return probe.estimate(self.stage, name, scheme, self.question, self.watch, step, tick=tick, sweep=sweep)
        return estimate(
            self.stage, name, scheme, self.question, self.watch, step, self.course.only.get(name), tick, sweep or climb
        )


def _nearby(stage: Stage) -> Stage:
    """The network with every number moved by one unit in the last place."""
    return stage.anew(stage.point.map(partial(moved, seed=1)))


def _magnitude_along(gradient: Array) -> float:
    """Σ|g v|, or 8 ‖g‖ where that is less: no more is Σ δ v where |δ| ≤ |g| and v is random."""
    return min(size(gradient), _DEVIATIONS * norm(gradient))


def prepare(case: Case, before: Callable[[Ground], Mapping[Hashable, Any]] | None = None) -> Scene:
    """The backward pass, and the choice of schemes.

    UsageError where `complex` is demanded and a layer is not safe, or a copy does not fit the memory.

    before  finds out what is to be known before any difference is taken
    """
    names = _names(case)
    if not names:
        raise NothingSelected(f"{case.path}: there is neither a parameter nor a real input to differentiate by")
    analytic = gradient(case.network, case.point.cast(case.dtype))
    stage = _stage(case)
    known = before(Ground(case, stage, analytic)) if before else {}
    reasons = unsafe(case.network, stage.arrays)
    chosen = {name: _scheme(case, name, reasons) for name in names}
    chosen_course = course(case, stage, chosen)
    if not chosen_course.directions:
        _require_memory(case, stage, names)
    measured = not all(SCHEMES[scheme].is_complex for scheme, _ in chosen.values())
    question = _question(stage, analytic, measured)
    watch = KinkWatch(case.network, stage.arrays, analytic.trace.arrays)
    return Scene(case, stage, analytic, chosen, reasons, question, watch, chosen_course, known)


def _stage(case: Case) -> Stage:
    arrays = case.network.activations(case.point)
    observables = Observables(case.network, case.point, "per_sample" in case.checks)
    coupled = coupling(case.network, case.point, arrays)
    return Stage(case.network, case.point, coupled, observables, arrays, memory=case.gradient.max_memory * 1e6)


def _names(case: Case) -> tuple[str, ...]:
    names = (*case.point.parameters, *case.point.inputs)
    if case.gradient.entries:
        asked = {name for name, _ in case.gradient.entries}
        names = tuple(name for name in names if name in asked)
    return case.point.differentiable(name for name in names if name not in case.skipped)


def _question(stage: Stage, analytic: Analytic, measured: bool) -> Question:
    """What every sweep is asked; complex steps need no noise, which is not a number then."""
    weights = []
    others: dict[Any, Array] = {}
    for position, term in enumerate(stage.network.terms):
        of = partial(_weights, stage, position, np.shape(analytic.trace.losses[position]))
        weights.append(term.weight * of(term.reduction))
        others |= {(position, reduction): of(reduction) for reduction in term.reductions}
        alone = stage.observables.per_sample_weights(position)
        if alone is not None:
            others[position, "per_sample"] = alone
    noise = forward_noise(stage) if measured else np.full(stage.observables.width, np.nan)
    return Question(np.sum(weights, axis=0), others, noise)


def _weights(stage: Stage, position: int, losses_shape: tuple[int, ...], reduction: str) -> Array:
    return stage.observables.weights(position, reduction, stage.arrays, losses_shape)


def _require_memory(case: Case, stage: Stage, names: Collection[str]) -> None:
    """Raise UsageError where one copy with one entry moved takes more memory than there may be."""
    for name in names:
        needed = stage.copy_size(name)
        if needed > stage.memory:
            raise UsageError(
                f"{case.path}: the network with one entry of {name} moved takes about {needed / 1e6:.2g} MB beside the "
                f"network itself, and --max-memory allows {stage.memory / 1e6:g} MB; allow more"
            )


def offender(case: Case, name: str, reasons: Mapping[str, str]) -> str | None:
    """The first layer between a tensor and the loss, or term, whose complex step is not its derivative."""
    path = [node.name for node in case.network.affected([name])] + [term.name for term in case.network.terms]
    return next((part for part in path if part in reasons), None)


def _scheme(case: Case, name: str, reasons: Mapping[str, str]) -> tuple[str, str]:
    """The scheme for a tensor, and the reason where the complex step was not the choice."""
    method = case.gradient.method
    unsafe_part = offender(case, name, reasons)
    if method not in ("auto", "complex"):
        return method, ""
    if unsafe_part is None:
        return "complex", ""
    sentence = f"{unsafe_part} {reasons[unsafe_part]}"
    if method == "complex":
        raise UsageError(f"--method complex cannot be used on {case.path}: {sentence}; use --method auto or central")
    return "central", f"not the complex step, because {sentence}"
