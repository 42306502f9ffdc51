"""Networks of a million parameters and more, by directions: time in units, memory in networks."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from _versus import ours
from _versus.by_hand import BY_HAND
from _versus.timing import Contestant, Ratio, Timing, race, ratio
from _versus.workloads import SPECS, of_case, spec_case
from gradcheck.spec.read import Overrides

UNIT, PROBE, RUN = "numpy forward + backward (the unit)", "gradcheck, two directions", "gradcheck, whole pipeline"
_DIRECTIONS = 2
_PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Scale:
    """One network.

    seconds     of the first run of it, from the spec to the verdict
    memory      the greatest that the process has taken during it, beyond what it had before, in bytes
    network     bytes of its parameters and activations
    timings     the unit; backward and two directions of every tensor; the whole run, with its error bars and proofs
    """

    parameters: int
    seconds: float
    memory: int
    network: int
    verdict: str
    timings: tuple[Timing, Timing, Timing]

    @property
    def units(self) -> Ratio:
        """How many times as long as the unit the directions take."""
        unit, probe, _ = self.timings
        return ratio(probe, unit)

    @property
    def run_units(self) -> Ratio:
        """How many times as long as the unit the run takes."""
        unit, _, run = self.timings
        return ratio(run, unit)


def measured(task: tuple[str, int]) -> Scale:
    """(spec, rounds). In a process of its own, as a process never gives its greatest memory back."""
    spec, rounds = task
    ours.whole(spec_case(SPECS / "a.yaml"))  # loads what every run loads, which is no part of a network's memory
    before, started = _memory(), perf_counter()
    case = spec_case(SPECS / spec, Overrides(directions=_DIRECTIONS))
    verdict = ours.whole(case)
    seconds = perf_counter() - started
    taken = max(0, _greatest_memory() - before)  # Linux counts pages a little late
    found = of_case(spec, case)
    arrays = case.network.forward(case.point).arrays
    unit = partial(BY_HAND[found.structure], found.x, found.target, *found.arrays.values())
    probe = partial(ours.probe, ours.ready(case), _DIRECTIONS)
    racing = (Contestant(UNIT, unit), Contestant(PROBE, probe), Contestant(RUN, partial(ours.whole, case)))
    timings = race(racing, rounds)
    network = sum(array.nbytes for array in arrays.values())
    return Scale(found.entries, seconds, taken, network, verdict, (timings[0], timings[1], timings[2]))


def _memory() -> int:
    """What the process has in memory now, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def _greatest_memory() -> int:
    """The most that it ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
