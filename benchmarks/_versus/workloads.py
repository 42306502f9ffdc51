"""The workloads: a spec each, and its numbers for those who do not read specs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.catalogue import Catalogue
from gradcheck.spec.case import Case
from gradcheck.spec.read import Overrides, read_case

Array = NDArray[Any]
SPECS = Path(__file__).parents[1] / "specs"
LETTERS = "ABCDE"
#: The tensor whose entries stand for all others where all would take minutes: each costs the slow peers the same, a
#: forward of the whole network for each step.
SAMPLE = "linear_2.weight"


@dataclass(frozen=True)
class Workload:
    """A network at a point.

    name       A to E
    structure  of `networks.STRUCTURES`
    x, target  data
    arrays     the parameters by name, in the order in which the network takes them
    """

    name: str
    structure: str
    case: Case
    x: Array
    target: Array
    arrays: Mapping[str, Array]

    @property
    def entries(self) -> int:
        """Entries of all parameters; those of the input are not counted and not checked."""
        return sum(array.size for array in self.arrays.values())

    def moving(self, sampled: bool) -> tuple[int, ...]:
        """The places of the parameters that are differentiated: all, or the one that stands for all."""
        return tuple(k for k, name in enumerate(self.arrays) if not sampled or name == SAMPLE)

    def share(self, sampled: bool) -> float:
        """The entries that are differentiated, of all."""
        return self.arrays[SAMPLE].size / self.entries if sampled else 1.0


def workload(name: str) -> Workload:
    """The workload of that letter, or of another spec of the folder."""
    return of_case(name, spec_case(SPECS / f"{name.lower()}.yaml"))


def spec_case(path: Path, overrides: Overrides | None = None) -> Case:
    """A spec of built-in layers, read."""
    return read_case(str(path), path.read_text(encoding="utf-8"), Catalogue(), overrides or Overrides())


def of_case(name: str, case: Case) -> Workload:
    """A case as a workload."""
    (term,) = case.network.terms
    point = case.point
    layers = {type(node.layer).__name__ for node in case.network.nodes}
    structure = "convnet" if "Conv2d" in layers else "tanh_mlp" if "Tanh" in layers else "relu_mlp"
    arrays = {key: np.ascontiguousarray(point.arrays[key]) for key in point.parameters}
    return Workload(name, structure, case, point.arrays["input"], point.arrays[term.data["target"]], arrays)
