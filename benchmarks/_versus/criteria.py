"""What the figures must be, and whether they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from _versus.commands import IMPORT, ONE, RUN, TWO, Commands
from _versus.growth import Growth
from _versus.heats import Heat
from _versus.rivals import (
    ALONE,
    AUTOGRAD,
    DIRECTION,
    JAX,
    NAIVE,
    SCIPY,
    SWEEP,
    TORCH_FAST,
    TORCH_SLOW,
    UNIT,
    WHOLE,
)
from _versus.scale import Scale
from _versus.timing import Ratio, Timing, ratio
from _versus.workloads import LETTERS

ENOUGH_ROUNDS, ENOUGH_DECADES, LONG_RUN = 5, 1.95, 20.0
FASTER_THAN_TORCH = {"A": 60, "B": 60, "C": 15, "D": 50, "E": 200}
DIRECTION_UNITS, DIRECTION_ON = 10, "BCDE"
#: All checks beside the gradient check cost at most what that does, so that a run takes at most twice as long.
CHECKS_TIMES, CHECKS_ON = 2, "BD"
START, SLOPE, TWO_WORKERS, SHORT_RUN = 0.6, 1.1, 1.4, 1.05
MILLION_UNITS, MILLION_MEMORY = 30, 6


@dataclass(frozen=True)
class Criterion:
    """One figure, as words, and what it must be. `met` is None where it was not measured, or in too few rounds."""

    name: str
    found: str
    needed: str
    met: bool | None


def of_heats(heats: Sequence[Heat]) -> list[Criterion]:
    """Every entry and one direction, over whatever workloads were raced."""
    entries = {heat.workload: heat.timings for heat in heats if heat.part == "entries"}
    directions = {heat.workload: heat.timings for heat in heats if heat.part == "direction"}
    found = []
    if entries:
        found += [_than_torch(entries, name) for name in LETTERS]
        found += [_always_faster("every entry", entries, peer, SWEEP) for peer in (SCIPY, NAIVE)]
    if directions:
        found += [_direction_in_units(directions)]
        found += [_always_faster("one direction", directions, peer, DIRECTION) for peer in (TORCH_FAST, JAX, AUTOGRAD)]
    checks = {heat.workload: heat.timings for heat in heats if heat.part == "checks"}
    if checks:
        found += [
            _judged(f"all checks / gradient check alone, {name}", _quotient(checks.get(name, {}), WHOLE, ALONE),
                    f"≤ {CHECKS_TIMES}", at_most=CHECKS_TIMES)
            for name in CHECKS_ON
        ]  # fmt: skip
    return found


def _than_torch(entries: Mapping[str, Mapping[str, Timing]], name: str) -> Criterion:
    needed = FASTER_THAN_TORCH[name]
    quotient = _quotient(entries.get(name, {}), TORCH_SLOW, SWEEP)
    return _judged(f"every entry, {TORCH_SLOW} / gradcheck, {name}", quotient, f"≥ {needed}", at_least=needed)


def _always_faster(what: str, heats: Mapping[str, Mapping[str, Timing]], peer: str, ours: str) -> Criterion:
    """The workload on which the peer comes nearest decides; all must have been raced."""
    quotients = {name: _quotient(heats.get(name, {}), peer, ours) for name in LETTERS}
    known = {name: quotient for name, quotient in quotients.items() if quotient is not None}
    label = f"{what}, {peer} / gradcheck, nearest workload"
    if not known:
        return Criterion(label, "", "> 1 on A to E", None)
    nearest = min(known, key=lambda name: known[name][0].median)
    judged = _judged(label, known[nearest], "> 1 on A to E", above=1)
    found = f"{judged.found} on {nearest}, of {''.join(known)}"
    return Criterion(label, found, judged.needed, None if judged.met and len(known) < len(LETTERS) else judged.met)


def _direction_in_units(heats: Mapping[str, Mapping[str, Timing]]) -> Criterion:
    label, needed = "one direction, in forward + backward, worst workload", f"≤ {DIRECTION_UNITS} on B to E"
    quotients = {name: _quotient(heats.get(name, {}), DIRECTION, UNIT) for name in DIRECTION_ON}
    known = {name: quotient for name, quotient in quotients.items() if quotient is not None}
    if not known:
        return Criterion(label, "", needed, None)
    worst = max(known, key=lambda name: known[name][0].median)
    judged = _judged(label, known[worst], needed, at_most=DIRECTION_UNITS)
    met = None if judged.met and len(known) < len(DIRECTION_ON) else judged.met
    return Criterion(label, f"{judged.found} on {worst}, of {''.join(known)}", needed, met)


def of_start(found: Commands) -> list[Criterion]:
    """The whole process on B."""
    timings = {timing.name: timing for timing in found.timings}
    label = f"whole process, {RUN} / {IMPORT}"
    return [_judged(label, _quotient(timings, RUN, IMPORT), f"≤ {START}", at_most=START)]


def of_growth(growth: Growth) -> list[Criterion]:
    """The slope of the sweep, over enough decades."""
    rounds = len(growth.timings[0].seconds)
    measured = (growth.slope, rounds if growth.decades >= ENOUGH_DECADES else 0)
    return [_judged(f"growth over {growth.decades:.2g} decades, log-log slope", measured, f"≤ {SLOPE}", at_most=SLOPE)]


def of_workers(long: Commands, short: Commands) -> list[Criterion]:
    """Two workers on a run that is long enough, and on a short one."""
    timings = {timing.name: timing for timing in long.timings}
    gain = _quotient(timings, ONE, TWO)
    if gain and timings[ONE].median < LONG_RUN:
        gain = gain[0], 0
    loss = _quotient({timing.name: timing for timing in short.timings}, TWO, ONE)
    return [
        _judged(f"two workers, one / two on a run of {LONG_RUN:g} s", gain, f"≥ {TWO_WORKERS}", at_least=TWO_WORKERS),
        _judged("two workers, two / one on a short run", loss, f"≤ {SHORT_RUN}", at_most=SHORT_RUN),
    ]


def of_scale(million: Scale | None, ten: Scale | None) -> list[Criterion]:
    """Time and memory of directions on great networks."""
    units = (million.units, len(million.timings[0].seconds)) if million else None
    memory = million.memory / million.network if million else 0.0
    return [
        _judged("1,000,000 parameters by directions, in forward + backward", units, f"≤ {MILLION_UNITS}",
                at_most=MILLION_UNITS),
        Criterion("1,000,000 parameters by directions, memory / network", f"{memory:.2g}" if million else "",
                  f"≤ {MILLION_MEMORY}", memory <= MILLION_MEMORY if million else None),
        Criterion("10,000,000 parameters by directions", f"{ten.seconds:.3g} s, {ten.memory / 2**20:.0f} MiB" if ten
                  else "", "finishes", True if ten else None),
    ]  # fmt: skip


def _quotient(timings: Mapping[str, Timing], slow: str, fast: str) -> tuple[Ratio, int] | None:
    """How many times as long the first takes, and over how many rounds; None if one of them was not timed."""
    if slow not in timings or fast not in timings:
        return None
    return ratio(timings[slow], timings[fast]), len(timings[fast].seconds)


def _judged(
    name: str,
    measured: tuple[Ratio, int] | None,
    needed: str,
    *,
    at_least: float = float("-inf"),
    at_most: float = float("inf"),
    above: float = float("-inf"),
) -> Criterion:
    """By the median, if there were enough rounds."""
    if measured is None:
        return Criterion(name, "", needed, None)
    figure, rounds = measured
    met = at_least <= figure.median <= at_most and figure.median > above
    return Criterion(name, str(figure), needed, met if rounds >= ENOUGH_ROUNDS else None)
