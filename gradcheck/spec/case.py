"""A spec, read: everything that a run needs."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from gradcheck.findings import Location
from gradcheck.network import Network, Point
from gradcheck.silencing import Ignore

#: The checks in their order; all of them are on unless a spec switches them off.
CHECKS = ("contract", "gradient", "reduction", "output_error", "per_sample", "accumulation", "vacuity")


class GradientPlan(Struct, frozen=True):
    """How the gradient is checked. `step` and `rtol` are None and 0 unless asked for.

    directions  how many of each tensor; 0 for every entry, None to choose by the size of the network
    probe       whether every layer is checked alone with inputs that are drawn to expose mistakes, too
    max_memory  megabytes that copies which are evaluated together may take
    """

    method: str = "auto"
    step: float | None = None
    rtol: float = 0.0
    entries: tuple[tuple[str, tuple[int, ...]], ...] = ()
    directions: int | None = None
    max_memory: float = 1000.0
    probe: bool = False


class Case(Struct, frozen=True):
    """One spec, ready to run.

    checks     the names of the checks that are on, in order
    locations  where in the spec a layer (by name) or the loss (`loss`) is written
    left_out   the parameters that are not checked, though they are no constants
    objective  minimize, or maximize for a player that goes along the gradient
    ignores    findings that are known and all right
    """

    path: str
    name: str
    seed: int
    dtype: str
    network: Network
    point: Point
    checks: tuple[str, ...] = CHECKS
    gradient: GradientPlan = GradientPlan()
    locations: Mapping[str, Location] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    objective: str = "minimize"
    ignores: tuple[Ignore, ...] = ()

    @property
    def skipped(self) -> frozenset[str]:
        """The parameters that are not checked: entries that are asked for one by one are."""
        return frozenset() if self.gradient.entries else self.left_out
