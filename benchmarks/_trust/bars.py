"""Error bars against the truth: five networks, entries of every tensor once more in 50-digit arithmetic."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _trust.fixed import Structure, fixed_case
from _trust.nets import REAL
from _trust.peers import Witness, peer_witnesses
from _trust.planting import real_only
from gradcheck.pipeline import run_case
from gradcheck.spec.case import Case

Array = NDArray[Any]
NETWORKS: tuple[Structure, ...] = (
    ((("linear", 6), ("tanh",), ("linear", 5)), "mse", "mean", (4, 7)),
    ((("linear", 7), ("sigmoid",), ("linear", 4)), "cross_entropy", "mean", (5, 6)),
    ((("linear", 5), ("softplus",), ("linear", 6), ("softmax",), ("linear", 3)), "mse", "sum", (4, 8)),
    ((("linear", 8), ("tanh",), ("linear", 4), ("log_softmax",)), "bce_with_logits", "batch_mean", (3, 5)),
    ((("conv2d", 2, (2, 3)), ("softplus",), ("flatten",), ("linear", 4)), "cross_entropy", "sum", (3, 1, 4, 5)),
)
METHODS = ("complex", "central", REAL)


@dataclass(frozen=True)
class Sample:
    """One entry and one witness: the true derivative, how far the witness is from it, and the bar that it gives.

    The bar is None for a witness that gives none.
    """

    witness: str
    net: int
    name: str
    index: tuple[int, ...]
    truth: float
    error: float
    bar: float | None

    @property
    def inside(self) -> bool:
        """Whether the true error is at most the bar."""
        return self.bar is not None and self.error <= self.bar


@dataclass(frozen=True)
class Accuracy:
    """One row of the table; `inside` and `ratio` are None for a witness that gives no bar.

    inside   share of the entries whose true error lies inside the bar
    ratio    median of bar / true error
    error    median of true error / |derivative|
    outside  the entries whose true error does not
    """

    witness: str
    entries: int
    inside: float | None
    ratio: float | None
    error: float
    outside: tuple[Sample, ...]


def unavailable() -> str:
    """Why this cannot be measured here; empty if it can."""
    return "" if importlib.util.find_spec("mpmath") else "mpmath is not installed"


def trial(task: tuple[int, int, int]) -> list[Sample]:
    """One network: (seed, its number, how many entries of each tensor at most)."""
    seed, net, most = task
    cases = {method: fixed_case(NETWORKS[net], (seed, net), method=method) for method in METHODS[:2]}
    cases[REAL] = real_only(fixed_case(NETWORKS[net], (seed, net)))
    witnesses: dict[str, Witness] = {}
    for method, case in cases.items():
        witnesses |= _gradcheck(case, method)
    case = cases[METHODS[0]]
    witnesses |= peer_witnesses(case)
    return [
        sample
        for name in (*case.point.parameters, *case.point.inputs)
        for index in _some(case.point.arrays[name].shape, most)
        for sample in _samples(case, net, name, index, witnesses)
    ]


def _gradcheck(case: Case, method: str) -> dict[str, Witness]:
    """What gradcheck calls the numeric and the analytic gradient; the bar covers the errors of both."""
    found = run_case(case, "").gradients
    names = (*case.point.parameters, *case.point.inputs)
    return {
        f"gradcheck, {method}": {name: (found[f"{name}/numeric"], found[f"{name}/bar"]) for name in names},
        f"backward, bar of {method}": {name: (found[f"{name}/analytic"], found[f"{name}/bar"]) for name in names},
    }


def _some(shape: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
    """Indices evenly over an array, all of them where there are no more than `most`."""
    size = int(np.prod(shape))
    flat = np.linspace(0, size - 1, min(size, most)).astype(int)
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in flat]


def _samples(case: Case, net: int, name: str, index: tuple[int, ...], witnesses: dict[str, Witness]) -> list[Sample]:
    from _trust import precise

    truth = precise.derivative(case, name, index)
    samples = []
    for witness, found in witnesses.items():
        value, bar = found[name]
        error = float(abs(precise.exactly(value[index]) - truth))
        known = None if bar is None else float(bar[index])
        samples.append(Sample(witness, net, name, index, float(truth), error, known))
    return samples


def tasks(seed: int, most: int) -> list[tuple[int, int, int]]:
    """One task for each network."""
    return [(seed, net, most) for net in range(len(NETWORKS))]


def accuracies(samples: Sequence[Sample]) -> list[Accuracy]:
    """One row for each witness."""
    rows = []
    for witness in dict.fromkeys(sample.witness for sample in samples):
        some = [sample for sample in samples if sample.witness == witness]
        error = median(sample.error / abs(sample.truth) if sample.truth else sample.error for sample in some)
        with_bar = [sample for sample in some if sample.bar is not None]
        outside = tuple(sample for sample in with_bar if not sample.inside)
        ratios = [
            sample.bar / sample.error if sample.error else np.inf for sample in with_bar if sample.bar is not None
        ]
        inside = 1 - len(outside) / len(with_bar) if with_bar else None
        rows.append(Accuracy(witness, len(some), inside, median(ratios) if ratios else None, error, outside))
    return rows
