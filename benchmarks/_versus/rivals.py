"""The rows of the tables: ways to check a gradient, each on the same network in its own framework's operations.

What is checked are the parameters, by everybody; only the whole pipeline of gradcheck checks the input, too.

Where all entries would take minutes, a slow peer is given one tensor of the network to differentiate, and its time is
divided by the share of the entries that are in it. scipy and numdifftools copy the vector of all entries for each of
them; given a shorter one they copy less, so that their times come out too short rather than too long.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _versus import ours
from _versus.by_hand import BY_HAND
from _versus.frameworks import Autograd, Jax, Numpy, Torch
from _versus.networks import STRUCTURES
from _versus.timing import Contestant
from _versus.workloads import LETTERS, Workload

Array = NDArray[Any]
UNIT, SWEEP, WHOLE = "numpy forward + backward (the unit)", "gradcheck, complex step", "gradcheck, whole pipeline"
ALONE = "gradcheck, gradient check alone"
BARS, CENTRAL = "gradcheck, complex step with bars", "gradcheck, central"
TORCH_SLOW, TORCH_FAST = "torch gradcheck, slow mode", "torch gradcheck, fast mode"
SCIPY, NAIVE, JAX, AUTOGRAD = "scipy 3-point", "naive numpy loop, central", "JAX check_grads", "autograd check_grads"
DIRECTION = "gradcheck, one direction"
#: Of the entries that stand for all where gradcheck itself is timed on some: they lie evenly, as its cost depends on
#: the layer that an entry belongs to.
_EVERY = 16
_STEP = 1e-6


#: What is timed, and the share of all entries that it covers.
Timed = tuple[Callable[[], Any], float]


@dataclass(frozen=True)
class Rival:
    """One row of a table.

    build     (workload, whether some entries stand for all) -> what is timed
    package   what must be installed
    names     the workloads on which it is timed
    starred   those of them on which some entries stand for all
    hurried   those on which they do so, too, if it must be quick
    patient   those that are left out if it must be quick
    """

    name: str
    build: Callable[[Workload, bool], Timed]
    package: str = "numpy"
    names: str = LETTERS
    starred: str = ""
    hurried: str = ""
    patient: str = ""

    @property
    def missing(self) -> str:
        """Why it is left out; empty if it is not."""
        return "" if importlib.util.find_spec(self.package) else f"{self.package} is not installed"

    def races(self, workload: str, quick: bool) -> bool:
        """Whether it is timed on the workload of that name."""
        return workload in self.names and not (quick and workload in self.patient)

    def contestant(self, workload: Workload, quick: bool) -> Contestant:
        """What is timed on a workload."""
        sampled = workload.name in self.starred or (quick and workload.name in self.hurried)
        return Contestant(self.name, *self.build(workload, sampled))


def _unit(workload: Workload, sampled: bool) -> Timed:
    return partial(BY_HAND[workload.structure], workload.x, workload.target, *workload.arrays.values()), 1.0


def _sweep(sweep: Callable[..., Any], scheme: str, workload: Workload, sampled: bool) -> Timed:
    every = _EVERY if sampled else 1
    entries = sum(len(range(0, array.size, every)) for array in workload.arrays.values())
    return partial(sweep, ours.ready(workload.case), scheme, every), entries / workload.entries


def _whole(workload: Workload, sampled: bool) -> Timed:
    return partial(ours.whole, workload.case), 1.0


def _alone(workload: Workload, sampled: bool) -> Timed:
    return partial(ours.gradient_alone, workload.case), 1.0


def _direction(workload: Workload, sampled: bool) -> Timed:
    return partial(ours.direction, ours.ready(workload.case)), 1.0


def _torch(fast: bool, workload: Workload, sampled: bool) -> Timed:
    import torch

    objective, arrays = _in(Torch(), workload)
    for k in workload.moving(sampled):
        arrays[k].requires_grad_()
    check = partial(torch.autograd.gradcheck, objective, tuple(arrays), fast_mode=fast, raise_exception=False)
    return check, workload.share(sampled)


def _jax(workload: Workload, sampled: bool) -> Timed:
    import jax
    from jax.test_util import check_grads

    objective, arrays = _in(Jax(), workload)
    return partial(_heard, partial(check_grads, jax.jit(objective), tuple(arrays), order=1, modes=("rev",))), 1.0


def _autograd(workload: Workload, sampled: bool) -> Timed:
    from autograd.test_util import check_grads  # type: ignore[import-not-found, unused-ignore]

    objective, arrays = _in(Autograd(), workload)
    return partial(_heard, partial(check_grads(objective, modes=["rev"], order=1), *arrays)), 1.0


def _heard(check: Callable[[], Any]) -> bool:
    """Whether the checker is content: both accuse correct gradients now and then, which takes them as long."""
    try:
        check()
    except AssertionError:
        return False
    return True


def _scipy(workload: Workload, sampled: bool) -> Timed:
    from scipy.optimize._numdiff import approx_derivative  # type: ignore[import-untyped]

    objective, point = _of_one_vector(workload, sampled)
    return partial(approx_derivative, objective, point, method="3-point"), workload.share(sampled)


def _numdifftools(workload: Workload, sampled: bool) -> Timed:
    import numdifftools  # type: ignore[import-not-found, unused-ignore]

    objective, point = _of_one_vector(workload, sampled)
    return partial(numdifftools.Gradient(objective), point), workload.share(sampled)


def _naive(workload: Workload, sampled: bool) -> Timed:
    objective, arrays = _in(Numpy, workload)
    copies = [array.copy() for array in arrays]
    return partial(_loop, objective, copies, workload.moving(sampled)), workload.share(sampled)


def _loop(objective: Callable[..., Any], arrays: Sequence[Array], moving: Sequence[int]) -> list[Array]:
    """(f(x + h) − f(x − h)) / 2h, entry by entry."""
    found = []
    for k in moving:
        flat, slopes = arrays[k].reshape(-1), np.empty(arrays[k].size)
        for entry in range(flat.size):
            kept = flat[entry]
            flat[entry] = kept + _STEP
            above = objective(*arrays)
            flat[entry] = kept - _STEP
            slopes[entry] = (above - objective(*arrays)) / (2 * _STEP)
            flat[entry] = kept
        found.append(slopes.reshape(arrays[k].shape))
    return found


def _in(framework: Any, workload: Workload) -> tuple[Callable[..., Any], list[Any]]:
    """The loss as a function of the parameters, and the parameters, in a framework."""
    x, target = framework.array(workload.x), framework.array(workload.target)
    arrays = [framework.array(array) for array in workload.arrays.values()]
    return STRUCTURES[workload.structure](framework, x, target), arrays


def _of_one_vector(workload: Workload, sampled: bool) -> tuple[Callable[[Array], Any], Array]:
    """The loss as a function of the entries that are differentiated, and those."""
    objective, arrays = _in(Numpy, workload)
    moving = workload.moving(sampled)
    ends = np.cumsum([arrays[k].size for k in moving])
    places = [(k, slice(end - arrays[k].size, end), arrays[k].shape) for k, end in zip(moving, ends, strict=True)]

    def loss(flat: Array) -> Any:
        taken = list(arrays)
        for k, part, shape in places:
            taken[k] = flat[part].reshape(shape)
        return objective(*taken)

    return loss, np.concatenate([arrays[k].reshape(-1) for k in moving])


EVERY_ENTRY = (
    Rival(UNIT, _unit),
    Rival(SWEEP, partial(_sweep, ours.sweep, "complex"), hurried="E"),
    Rival(WHOLE, _whole, patient="E"),
    Rival(BARS, partial(_sweep, ours.sweep_with_bars, "complex"), hurried="E"),
    Rival(CENTRAL, partial(_sweep, ours.sweep, "central"), hurried="E"),
    Rival(TORCH_SLOW, partial(_torch, False), "torch", starred="E", hurried="BCDE"),
    Rival(SCIPY, _scipy, "scipy", starred="E", hurried="BCDE"),
    Rival(NAIVE, _naive, starred="E", hurried="BCDE"),
    Rival("numdifftools", _numdifftools, "numdifftools", names="AB", starred="B"),
)
ONE_DIRECTION = (
    Rival(UNIT, _unit),
    Rival(DIRECTION, _direction),
    Rival(TORCH_FAST, partial(_torch, True), "torch"),
    Rival(JAX, _jax, "jax"),
    Rival(AUTOGRAD, _autograd, "autograd"),
)
ALL_CHECKS = (Rival(UNIT, _unit), Rival(ALONE, _alone, patient="E"), Rival(WHOLE, _whole, patient="E"))
RIVALS: Mapping[str, Sequence[Rival]] = {"entries": EVERY_ENTRY, "direction": ONE_DIRECTION, "checks": ALL_CHECKS}


def versions() -> dict[str, str]:
    """Of what is installed."""
    packages = sorted({"gradcheck", *(r.package for some in RIVALS.values() for r in some if not r.missing)})
    return {name: importlib.metadata.version(name) for name in packages}
