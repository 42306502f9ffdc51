"""False alarms: what gradcheck says about networks whose every backward is right."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from _trust.nets import LARGE, REAL, Net, Profile, draw_net
from _trust.recipes import NoRecipe, Units
from gradcheck.findings import Row, SpecReport
from gradcheck.naming import spec_name
from gradcheck.pipeline import run_case

#: How every net is checked: method, dtype. `central` may ask the complex step for a second opinion, `real` may not.
CONFIGURATIONS = (
    ("auto", "float64"), ("auto", "float32"), ("central", "float64"), ("central", "float32"), (REAL, "float64"),
)  # fmt: skip
#: The checks of equivalences, which judge whole networks and not entries.
EQUIVALENCES = ("contract", "reduction", "output_error", "per_sample", "accumulation")


@dataclass(frozen=True)
class Check:
    """One net, checked in one way: entries by verdict, and whatever else was said against it.

    closest   the greatest |analytic − numeric| / bar of an entry that has a derivative: 1 is where a failure begins
    accused   the equivalence checks that failed
    errors    the findings of severity error, as sentences; an exception is one of them
    """

    method: str
    dtype: str
    passed: int = 0
    fail: int = 0
    inconclusive: int = 0
    kink: int = 0
    closest: float = 0.0
    accused: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def entries(self) -> int:
        """All entries that were checked."""
        return self.passed + self.fail + self.inconclusive + self.kink

    @property
    def alarm(self) -> bool:
        """Whether anything was called wrong."""
        return bool(self.fail or self.accused or self.errors)


@dataclass(frozen=True)
class Trial:
    """One net and everything that was said about it. Without a net: the reason why it could not be drawn."""

    index: int
    layers: tuple[str, ...] = ()
    loss: str = ""
    reduction: str = ""
    traits: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    missing: str = ""

    @property
    def entries(self) -> int:
        """Entries of the net."""
        return max((check.entries for check in self.checks), default=0)


def trial(task: tuple[int, int, Profile]) -> Trial:
    """Draw the net of (seed, index, profile) from the catalogue and check it in every configuration."""
    seed, index, profile = task
    try:
        net = draw_net(Units.of_catalogue(), seed, index, profile)
    except NoRecipe as error:
        return Trial(index, missing=str(error))
    return judged(net)


def tasks(seed: int, indices: Iterable[int], profile: Profile = LARGE) -> list[tuple[int, int, Profile]]:
    """One task for each net."""
    return [(seed, index, profile) for index in indices]


def judged(net: Net) -> Trial:
    """One net in every configuration."""
    checks = tuple(checked(net, method, dtype) for method, dtype in CONFIGURATIONS)
    return Trial(net.index, net.layers, spec_name(type(net.loss)), net.reduction, net.traits, checks)


def checked(net: Net, method: str, dtype: str) -> Check:
    """Run all checks of a correct net, and keep what they say."""
    try:
        report = run_case(net.case(dtype, method), "").report
    except Exception as error:  # whatever escapes is a defect of gradcheck, which is what is measured here
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Check(method, dtype, errors=(f"{type(error).__name__} at {where.name}:{where.lineno}: {error}",))
    counts = report.counts
    return Check(
        method, dtype, counts.passed, counts.fail, counts.inconclusive, counts.kink,
        max((_closeness(row) for row in report.rows), default=0.0),
        tuple(c.check for c in report.checks if c.check in EQUIVALENCES and c.verdict in ("fail", "inconclusive")),
        _errors(report),
    )  # fmt: skip


def _closeness(row: Row) -> float:
    worst = row.worst
    if worst is None or worst.analytic == worst.numeric or row.counts.total == row.counts.kink:
        return 0.0
    return abs(worst.analytic - worst.numeric) / worst.error_bar if worst.error_bar else float("inf")


def _errors(report: SpecReport) -> tuple[str, ...]:
    return tuple(f"{f.code} {f.message}" for f in report.findings if f.severity == "error")


@dataclass(frozen=True)
class Tally:
    """The checks of many nets added up.

    accused  nets by equivalence check that failed
    unclean  the nets with an alarm
    unsure   the nets with inconclusive entries
    """

    nets: int
    entries: int
    fail: int
    inconclusive: int
    kink: int
    closest: float
    accused: dict[str, int]
    errors: int
    unclean: list[int]
    unsure: list[int]

    def share(self, count: int, without_kinks: bool = False) -> float:
        """Of all entries, or of those that are not at a kink."""
        return count / max(1, self.entries - self.kink * without_kinks)


def tally(found: Iterable[tuple[int, Check]]) -> Tally:
    """Add up (index of the net, check)."""
    pairs = list(found)
    checks = [check for _, check in pairs]
    return Tally(
        nets=len(checks),
        entries=sum(check.entries for check in checks),
        fail=sum(check.fail for check in checks),
        inconclusive=sum(check.inconclusive for check in checks),
        kink=sum(check.kink for check in checks),
        closest=max((check.closest for check in checks), default=0.0),
        accused={name: sum(name in check.accused for check in checks) for name in EQUIVALENCES},
        errors=sum(bool(check.errors) for check in checks),
        unclean=[index for index, check in pairs if check.alarm],
        unsure=[index for index, check in pairs if check.inconclusive],
    )


def by_configuration(trials: Sequence[Trial]) -> dict[str, Tally]:
    """One tally for each method and dtype, and one for all."""
    pairs = [(trial.index, check) for trial in trials for check in trial.checks]
    tallies = {
        f"{method}, {dtype}": tally(p for p in pairs if (p[1].method, p[1].dtype) == (method, dtype))
        for method, dtype in CONFIGURATIONS
    }
    return {**tallies, "all": tally(pairs)}


def by_trait(trials: Sequence[Trial]) -> dict[str, Tally]:
    """One tally for each trait, layer, loss and reduction: what goes with alarms and with doubt."""
    groups: dict[str, list[tuple[int, Check]]] = {}
    for one in trials:
        for name in sorted({*one.traits, *one.layers, one.loss, one.reduction} - {""}):
            groups.setdefault(name, []).extend((one.index, check) for check in one.checks)
    return {name: tally(pairs) for name, pairs in sorted(groups.items())}


@dataclass(frozen=True)
class Coverage:
    """How many nets each unit was in, and how large the nets were."""

    layers: dict[str, int]
    losses: dict[str, int]
    reductions: dict[str, int]
    median_layers: float
    median_entries: float
    missing: tuple[str, ...]


def coverage(trials: Sequence[Trial], units: Units) -> Coverage:
    """Counts include the units that were in no net at all."""
    layers = Counter(name for one in trials for name in set(one.layers))
    losses = Counter(one.loss for one in trials if one.loss)
    drawn = [one for one in trials if not one.missing]
    return Coverage(
        layers={name: layers[name] for name in sorted(units.layers)},
        losses={name: losses[name] for name in sorted(units.losses)},
        reductions=dict(sorted(Counter(one.reduction for one in drawn).items())),
        median_layers=median([len(one.layers) for one in drawn] or [0]),
        median_entries=median([one.entries for one in drawn] or [0]),
        missing=tuple(sorted({one.missing for one in trials if one.missing})),
    )


def worst_first(trials: Sequence[Trial]) -> list[Trial]:
    """The nets that are not clean: most failures first, then most doubt."""

    def badness(one: Trial) -> tuple[Any, ...]:
        alarms = sum(check.alarm for check in one.checks)
        return (-alarms, -sum(c.fail for c in one.checks), -sum(c.inconclusive for c in one.checks), one.index)

    return sorted((one for one in trials if any(c.alarm or c.inconclusive for c in one.checks)), key=badness)
