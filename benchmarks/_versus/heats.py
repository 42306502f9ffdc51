"""One workload, one table: everybody who can run, raced against each other in a process of their own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from _versus.rivals import RIVALS
from _versus.timing import Timing, race
from _versus.workloads import workload


@dataclass(frozen=True)
class Heat:
    """The times of one workload, by row.

    part     `entries` or `direction`
    entries  of all parameters
    """

    part: str
    workload: str
    entries: int
    timings: Mapping[str, Timing]


def heat(task: tuple[str, str, int, bool]) -> Heat:
    """(part, workload, rounds, whether it must be quick). Warnings and what is found out are not of interest here."""
    part, name, rounds, quick = task
    found = workload(name)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        racing = [rival for rival in RIVALS[part] if not rival.missing and rival.races(name, quick)]
        timings = race([rival.contestant(found, quick) for rival in racing], rounds)
    return Heat(part, name, found.entries, {timing.name: timing for timing in timings})


def skipped(part: str) -> dict[str, str]:
    """The rows that are left out, and why."""
    return {rival.name: rival.missing for rival in RIVALS[part] if rival.missing}
