"""Other gradient checkers, each on the very same forward and hand-written backward, with its default settings.

They see a network through one scalar function of all its parameters and inputs and the gradient that its backward
gives: torch as a custom autograd.Function, JAX as a custom_vjp, scipy as func and grad.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.analytic import gradient
from gradcheck.pipeline import run_case
from gradcheck.spec.case import Case

Array = NDArray[Any]
#: By tensor: numeric gradient, and how far it may be from the analytic one before the checker objects (None: unsaid).
Witness = Mapping[str, tuple[Array, Array | None]]
#: scipy returns a distance and leaves the judgement to its user: here relative to the gradient's length.
SCIPY_TOLERANCE = 1e-6


class Objective:
    """A case as a function of its differentiable arrays."""

    def __init__(self, case: Case) -> None:
        self.case = case
        names = (*case.point.parameters, *case.point.inputs)
        self.names = case.point.differentiable(names)
        self.arrays = [case.point.arrays[name].astype(case.dtype) for name in self.names]

    def value(self, arrays: Sequence[Any]) -> Array:
        """The loss, in the case's precision."""
        point = self._at(arrays)
        return np.asarray(self.case.network.objective(self.case.network.forward(point)), dtype=self.case.dtype)

    def gradients(self, arrays: Sequence[Any]) -> list[Array]:
        """What backward says, in the order of the names."""
        found = gradient(self.case.network, self._at(arrays)).gradients
        return [np.asarray(found[name], dtype=self.case.dtype) for name in self.names]

    def split(self, flat: Array) -> list[Array]:
        """One vector as the arrays."""
        cuts = np.cumsum([array.size for array in self.arrays])[:-1]
        return [part.reshape(a.shape) for part, a in zip(np.split(flat, cuts), self.arrays, strict=True)]

    def _at(self, arrays: Sequence[Any]) -> Any:
        named = dict(zip(self.names, map(np.asarray, arrays), strict=True))
        return self.case.point.with_arrays(named).cast(self.case.dtype)


@dataclass(frozen=True)
class Checker:
    """One way to check a gradient.

    package  what must be installed
    accuses  whether it calls the gradient of a case wrong
    dtypes   the precisions that it is measured in
    """

    package: str
    accuses: Callable[[Case], bool]
    dtypes: tuple[str, ...] = ("float64", "float32")

    @property
    def missing(self) -> str:
        """Why it cannot be run here; empty if it can."""
        return "" if importlib.util.find_spec(self.package) else f"{self.package} is not installed"

    @property
    def version(self) -> str:
        """Of the package."""
        return importlib.metadata.version(self.package)


def _gradcheck(case: Case) -> bool:
    return bool(run_case(case, "").report.counts.fail)


def _torch(case: Case, fast: bool) -> bool:
    import torch

    inputs = [torch.tensor(array, requires_grad=True) for array in Objective(case).arrays]
    return not torch.autograd.gradcheck(_torch_function(case), inputs, fast_mode=fast, raise_exception=False)


def _torch_function(case: Case) -> Callable[..., Any]:
    import torch

    objective = Objective(case)

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.save_for_backward(*tensors)
            return torch.tensor(objective.value([t.detach().numpy() for t in tensors]))

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            arrays = objective.gradients([t.detach().numpy() for t in ctx.saved_tensors])
            return tuple(upstream[0] * torch.tensor(array) for array in arrays)

    function: Callable[..., Any] = Loss.apply
    return function


def _jax(case: Case) -> bool:
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    objective = Objective(case)

    @jax.custom_vjp
    def loss(*arrays: Any) -> Any:
        return jax.numpy.asarray(objective.value(arrays))

    def backward(arrays: Any, upstream: Any) -> Any:
        return tuple(upstream * jax.numpy.asarray(array) for array in objective.gradients(arrays))

    arguments = tuple(map(jax.numpy.asarray, objective.arrays))
    loss.defvjp(lambda *arrays: (loss(*arrays), arrays), backward)
    try:
        check_grads(loss, arguments, order=1, modes=("rev",))  # type: ignore[no-untyped-call]
    except AssertionError:
        return True
    return False


def _scipy(case: Case) -> bool:
    from scipy.optimize import check_grad  # type: ignore[import-untyped]

    objective = Objective(case)
    flat = np.concatenate([array.ravel() for array in objective.arrays])

    def slope(x: Array) -> Array:
        return np.concatenate([array.ravel() for array in objective.gradients(objective.split(x))])

    distance = check_grad(lambda x: float(objective.value(objective.split(x))), slope, flat)
    return bool(distance > SCIPY_TOLERANCE * np.linalg.norm(slope(flat)))


CHECKERS = {
    "gradcheck": Checker("gradcheck", _gradcheck),
    "torch, slow": Checker("torch", lambda case: _torch(case, fast=False)),
    "torch, fast": Checker("torch", lambda case: _torch(case, fast=True)),
    "JAX check_grads": Checker("jax", _jax),
    "scipy check_grad": Checker("scipy", _scipy, ("float64",)),
}


def accuses(name: str, case: Case) -> bool:
    """Whether a checker calls the gradient wrong. Warnings (torch about float32) are its own business."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return CHECKERS[name].accuses(case)


def peer_witnesses(case: Case) -> dict[str, Witness]:
    """The numeric gradients of the peers that give one, with their tolerances as bars."""
    found: dict[str, Witness] = {}
    if not CHECKERS["torch, slow"].missing:
        found["torch, slow"] = _torch_numeric(case)
    if not CHECKERS["scipy check_grad"].missing:
        found["scipy check_grad"] = _scipy_numeric(case)
    return found


def _torch_numeric(case: Case) -> Witness:
    """torch's own differences at its default eps; it allows atol + rtol |numeric|, 1e-5 and 1e-3."""
    import torch
    from torch.autograd.gradcheck import _get_numerical_jacobian

    objective = Objective(case)
    inputs = tuple(torch.tensor(array, requires_grad=True) for array in objective.arrays)
    columns = _get_numerical_jacobian(_torch_function(case), inputs, eps=1e-6)
    numeric = [column[0].numpy().reshape(a.shape) for column, a in zip(columns, objective.arrays, strict=True)]
    return {name: (n, 1e-5 + 1e-3 * np.abs(n)) for name, n in zip(objective.names, numeric, strict=True)}


def _scipy_numeric(case: Case) -> Witness:
    """The forward differences that check_grad takes; it says nothing about single entries."""
    from scipy.optimize import approx_fprime

    objective = Objective(case)
    flat = np.concatenate([array.ravel() for array in objective.arrays])
    numeric = approx_fprime(flat, lambda x: float(objective.value(objective.split(x))))
    return {name: (n, None) for name, n in zip(objective.names, objective.split(numeric), strict=True)}
