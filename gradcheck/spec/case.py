"""A spec, read: everything that a run needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcheck.findings import Location
from gradcheck.network import Network, Point


@dataclass(frozen=True)
class GradientPlan:
    """How the gradient is checked. `step` and `rtol` are None and 0 unless asked for; `max_memory` counts megabytes."""

    method: str = "auto"
    step: float | None = None
    rtol: float = 0.0
    entries: tuple[tuple[str, tuple[int, ...]], ...] = ()
    max_memory: float = 1000.0


@dataclass(frozen=True)
class Case:
    """One spec, ready to run.

    checks     the names of the checks that are on, in order
    locations  where in the spec a layer (by name) or the loss (`loss`) is written
    """

    path: str
    name: str
    seed: int
    dtype: str
    network: Network
    point: Point
    checks: tuple[str, ...] = ("gradient", "reduction", "per_sample", "vacuity")
    gradient: GradientPlan = GradientPlan()
    locations: Mapping[str, Location] = field(default_factory=dict)
