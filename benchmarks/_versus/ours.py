"""What gradcheck does, called from Python: the sweep, alone or with its bars, the whole pipeline, one direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.gradients.analytic import gradient
from gradcheck.gradients.numeric.coupling import coupling
from gradcheck.gradients.numeric.draws import Draws, along
from gradcheck.gradients.numeric.estimate import Estimate, estimate
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import Question, Rungs, climb
from gradcheck.gradients.numeric.noise import forward_noise
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.gradients.numeric.probe import directions
from gradcheck.gradients.numeric.rays import climb_along
from gradcheck.gradients.numeric.schemes import SCHEMES, step_for
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.pipeline import run_case
from gradcheck.spec.case import Case

Array = NDArray[Any]


@dataclass(frozen=True)
class Ready:
    """A case, and what a run finds out about its network before it sweeps: coupled samples, noise, kinks.

    stage  the network, ready to be perturbed; every sweep evaluates it anew
    """

    case: Case
    stage: Stage
    question: Question
    watch: KinkWatch


def ready(case: Case) -> Ready:
    """Measure the network as a run does; the objective is all that is asked of the sweep."""
    trace = case.network.forward(case.point)
    observables = Observables(case.network, case.point, per_sample=False)
    coupled = coupling(case.network, case.point, trace.arrays)
    stage = Stage(case.network, case.point, coupled, observables, trace.arrays)
    (term,), (losses,) = case.network.terms, trace.losses
    weights = observables.weights(0, term.reduction, trace.arrays, np.shape(losses))
    question = Question(weights, {}, forward_noise(stage))
    return Ready(case, stage, question, KinkWatch(case.network, trace.arrays))


def sweep(known: Ready, scheme: str, every: int = 1) -> list[Rungs]:
    """Forward, then the derivative by every entry of all parameters, or of each parameter by one entry in so many."""
    stage, row = _stage(known), SCHEMES[scheme]
    return [
        climb(stage, name, _some(stage.arrays[name], every), row, known.question,
              np.array([step_for(row, stage.arrays[name])]), known.watch)
        for name in known.case.point.parameters
    ]  # fmt: skip


def sweep_with_bars(known: Ready, scheme: str, every: int = 1) -> list[Estimate]:
    """The same, and how far each of them may be off."""
    stage = _stage(known)
    return [
        estimate(stage, name, SCHEMES[scheme], known.question, known.watch, entries=_some(stage.arrays[name], every))
        for name in known.case.point.parameters
    ]


def whole(case: Case) -> str:
    """The pipeline: backward, every entry of parameters and inputs, error bars, all checks -> the verdict."""
    return run_case(case, "").report.verdict


def gradient_alone(case: Case) -> str:
    """The same without the contract, the equivalences and the notes: the full sweep, and its verdicts."""
    return whole(replace(case, checks=("gradient",)))


def probe(known: Ready, count: int) -> list[Array]:
    """Backward, then the slopes of every parameter and input along directions of its own, as a run probes them."""
    point = known.case.point
    analytic = gradient(known.case.network, point)
    stage = known.stage.anew()
    draws, found = Draws(count, seed=0), []
    for name in (*point.parameters, *point.inputs):
        rays = draws.rays(name, stage.arrays[name].shape)
        step = np.array([step_for(SCHEMES["complex"], stage.arrays[name])])
        numeric = climb_along(stage, rays, SCHEMES["complex"], known.question, step, known.watch).values[-1]
        found.append(numeric - [along(analytic.gradients[name], ray.signs) for ray in rays])
    return found


def direction(known: Ready) -> Any:
    """Backward, then the slope along one direction of all parameters together, which is what the peers take, too."""
    point = known.case.point
    analytic = gradient(known.case.network, point)
    stage = known.stage.anew()
    return directions(stage, known.question, point.parameters, analytic.gradients, count=1, seed=0)


def _stage(known: Ready) -> Stage:
    return known.stage.anew(known.case.point)


def _some(array: Array, every: int) -> Array:
    return np.arange(0, array.size, every)
