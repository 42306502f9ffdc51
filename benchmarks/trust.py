"""Can gradcheck be trusted? False alarms, sensitivity and error bars, measured; other checkers beside it.

    python benchmarks/trust.py            about a quarter of an hour on two cores; writes trust.json
    python benchmarks/trust.py --quick    the same in small, under a minute
    python benchmarks/trust.py --only 123 net 123 again, with everything that was said about it

False alarms   random correct networks over every layer, loss and reduction of the catalogue, in float64 and float32,
               by method auto and central. Nothing may be called wrong, and at most 0.1 % of the entries may be
               inconclusive.
Equivalences   the contract of backward and the equivalences alone, over the first thousand of these networks in both
               precisions: nothing may fail, or be warned of. About five minutes: `--part equivalences`.
Sensitivity    one entry of the gradient, or all of a tensor, is multiplied by 1 + r in the backward of a random
               network; also with the loss multiplied by 1e-8. 95 % must be called wrong.
Bars           entries of five networks in 50-digit arithmetic (needs mpmath): the true error must lie inside the bar in
               99.9 % and the bar of differences be at most 100 times the true error, on the median.
Peers          torch.autograd.gradcheck (slow and fast), JAX's and scipy's check_grad on three workloads with the same
               forward and backward; those that are not installed are named and left out.

The exit code is 0 if everything that must hold does, 1 if not. The figures depend on the seed and on the catalogue, not
on the number of workers.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from _trust import alarms, bars, comparison, criteria, equivalences, sensitivity, tables
from _trust.peers import CHECKERS
from _trust.pool import Pool
from _trust.recipes import Units
from _trust.replay import show_net
from rich.console import Console

PARTS = ("alarms", "equivalences", "sensitivity", "bars", "peers")
#: Of the correct networks, those that are asked for the equivalences alone.
EQUIVALENCE_NETS = 1000
Figures = dict[str, Any]
Criteria = list[criteria.Criterion]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    nets     correct networks
    trials   planted mistakes of each kind
    entries  of each tensor in 50-digit arithmetic
    seeds    of each workload for false alarms of the peers
    reach    of each workload for their sensitivity
    """

    nets: int = 2000
    trials: int = 200
    entries: int = 50
    seeds: int = 100
    reach: int = 10


QUICK = Size(nets=40, trials=4, entries=5, seeds=1, reach=1)


@dataclass(frozen=True)
class Run:
    """What was asked for. `only` restricts the nets and the trials to one."""

    size: Size
    seed: int
    pool: Pool
    console: Console
    only: int | None = None

    def indices(self, count: int) -> range:
        """The numbers of nets or trials to run."""
        return range(count) if self.only is None else range(self.only, self.only + 1)


def measure_alarms(run: Run) -> tuple[Figures, Criteria]:
    """Correct networks."""
    tasks = alarms.tasks(run.seed, run.indices(run.size.nets))
    trials = run.pool.each(alarms.trial, tasks, "correct networks")
    tallies, groups = alarms.by_configuration(trials), alarms.by_trait(trials)
    covered = alarms.coverage(trials, Units.of_catalogue())
    unclean = alarms.worst_first(trials)
    for table in (tables.covered(covered), tables.false_alarms(tallies), tables.groups(groups)):
        run.console.print(table)
    if unclean:
        run.console.print(tables.unclean(unclean, run.seed))
    figures = {
        "configurations": {name: asdict(tally) for name, tally in tallies.items()},
        "groups": {name: asdict(tally) for name, tally in groups.items()},
        "coverage": asdict(covered),
        "unclean": [asdict(one) for one in unclean],
    }
    return figures, criteria.of_alarms(tallies, covered, len(trials))


def measure_equivalences(run: Run) -> tuple[Figures, Criteria]:
    """Correct networks, by the checks that no entry has a part in."""
    tasks = equivalences.tasks(run.seed, run.indices(min(run.size.nets, EQUIVALENCE_NETS)))
    found = [said for some in run.pool.each(equivalences.trial, tasks, "equivalences") for said in some]
    tallies, accused = equivalences.tally(found), equivalences.alarms(found)
    run.console.print(tables.equivalences(tallies))
    if accused:
        run.console.print(tables.accused(accused, run.seed))
    figures = {"verdicts": tallies, "accused": [asdict(said) for said in accused]}
    return figures, criteria.of_equivalences(found, accused, EQUIVALENCE_NETS)


def measure_sensitivity(run: Run) -> tuple[Figures, Criteria]:
    """Planted mistakes."""
    tasks = sensitivity.tasks(run.seed, run.indices(run.size.trials))
    catches = [catch for some in run.pool.each(sensitivity.trial, tasks, "planted mistakes") for catch in some]
    shares = sensitivity.shares(catches)
    run.console.print(tables.sensitivity(shares))
    if any(share.missed for share in shares):
        run.console.print(tables.missed(shares, run.seed))
    return {"shares": [asdict(share) for share in shares]}, criteria.of_sensitivity(shares)


def measure_bars(run: Run) -> tuple[Figures, Criteria]:
    """Error bars against the truth."""
    reason = bars.unavailable()
    if reason:
        run.console.print(f"Error bars were not measured: {reason}.")
        return {"skipped": reason}, []
    tasks = bars.tasks(run.seed, run.size.entries)
    rows = bars.accuracies([s for some in run.pool.each(bars.trial, tasks, "50 digits") for s in some])
    run.console.print(tables.bars(rows))
    return {"witnesses": [asdict(row) for row in rows]}, criteria.of_bars(rows)


def measure_peers(run: Run) -> tuple[Figures, Criteria]:
    """Other checkers; nothing is required of them."""
    skipped = {name: checker.missing for name, checker in CHECKERS.items() if checker.missing}
    for name, reason in skipped.items():
        run.console.print(f"{name} is left out: {reason}.")
    accused = run.pool.each(comparison.alarm, comparison.alarm_tasks(run.seed, run.size.seeds), "peers: alarms")
    tasks = comparison.reach_tasks(run.seed, run.size.reach)
    reach = [one for some in run.pool.each(comparison.reach, tasks, "peers: sensitivity") for one in some]
    run.console.print(tables.peers_alarms(accused))
    run.console.print(tables.peers_reach(reach))
    return {"skipped": skipped, "alarms": [asdict(a) for a in accused], "reach": [asdict(r) for r in reach]}, []


MEASURE: dict[str, Callable[[Run], tuple[Figures, Criteria]]] = {
    "alarms": measure_alarms,
    "equivalences": measure_equivalences,
    "sensitivity": measure_sensitivity,
    "bars": measure_bars,
    "peers": measure_peers,
}


def versions() -> dict[str, str]:
    """Of everything whose figures are compared."""
    packages = sorted({"gradcheck", "numpy", *(c.package for c in CHECKERS.values() if not c.missing)})
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def measured(run: Run, parts: tuple[str, ...], destination: Path | None) -> bool:
    """Measure the parts, print their tables, write the figures -> whether everything holds that must."""
    figures: Figures = {"seed": run.seed, "size": asdict(run.size), "versions": versions()}
    found: Criteria = []
    for part in parts:
        figures[part], criterion = MEASURE[part](run)
        found += criterion
    run.console.print(tables.criteria(found))
    figures["criteria"] = [asdict(one) for one in found]
    if destination is not None:
        destination.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        run.console.print(f"All figures are in {destination}.")
    return all(one.met is not False for one in found)


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--quick", is_flag=True, help="Small sizes, under a minute.")
@click.option("--nets", type=click.IntRange(1), help="How many correct networks.")
@click.option("--trials", type=click.IntRange(1), help="How many planted mistakes of each kind.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--only", type=click.IntRange(0), help="One net (with `--part sensitivity` one trial), in detail.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Measure this alone; repeatable.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option("--json", "destination", type=click.Path(dir_okay=False, path_type=Path), default=Path("trust.json"),
              show_default=True, help="Where the figures are written.")  # fmt: skip
def main(
    quick: bool,
    nets: int | None,
    trials: int | None,
    seed: int,
    only: int | None,
    parts: tuple[str, ...],
    workers: int,
    destination: Path,
) -> None:
    """Parse what was asked for, and do it."""
    base = QUICK if quick else Size()
    size = Size(nets or base.nets, trials or base.trials, base.entries, base.seeds, base.reach)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if only is not None and "sensitivity" not in parts:
        sys.exit(0 if show_net(console, seed, only) else 1)
    with Pool(workers if only is None else 0) as pool:
        run = Run(size, seed, pool, console, only)
        holds = measured(run, parts or PARTS, destination) if only is None else measured(run, ("sensitivity",), None)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
