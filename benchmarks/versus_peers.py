"""How fast is gradcheck beside other checkers? The same networks, the same machine, the same minutes.

    python benchmarks/versus_peers.py                  everything; writes versus_peers.json
    python benchmarks/versus_peers.py --quick          the same in small: no figure of it decides anything
    python benchmarks/versus_peers.py --part entries --workload B

Workloads    A to E are the specs a.yaml to e.yaml of benchmarks/specs; the peers run the same network at the same
             numbers, written in their own framework's operations. Only parameters are checked, by everybody; the row
             of the whole pipeline checks the input, too, and does all that `gradcheck run` does but reading and
             printing.
entries      every entry: gradcheck's sweep (complex step and central), the same with its error bars, and its whole
             pipeline; torch.autograd.gradcheck (slow mode), scipy's 3-point differences, a plain numpy loop,
             numdifftools. The sweep is held against the others, who say nothing about how far they are off.
direction    one direction: gradcheck, torch.autograd.gradcheck (fast mode), JAX's (jitted) and autograd's check_grads.
checks       gradcheck's whole pipeline beside its gradient check alone: what the contract and the equivalences cost.
start        `gradcheck run` on B, a process from start to end, against `import torch`.
growth       the sweep over two decades of parameters, as a slope and a plot.
workers      two workers against one: a long run, a short run, one spec.
scale        a million parameters and ten million, by directions.

Times are medians over rounds in which everybody has a turn, in another order each time; ratios are taken within a
round. Everybody has one thread. The unit is one forward and backward of the same network in plain numpy. A star says
that a slow peer has differentiated by one tensor of the network, and that its time was scaled up to all of them. What
is not installed is named and left out.

The exit code is 0 if no criterion is missed, 1 if one is; what was not measured, or in too few rounds, misses none.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from _versus import commands, criteria, growth, heats, scale, tables
from _versus.pool import each, pin_threads
from _versus.rivals import versions
from _versus.workloads import LETTERS
from rich.console import Console

Figures = dict[str, Any]
Criteria = list[criteria.Criterion]
QUICK_ROUNDS, ROUNDS = 2, 5


@dataclass(frozen=True)
class Run:
    """What was asked for."""

    rounds: int
    quick: bool
    workloads: tuple[str, ...]
    console: Console


def measure_heats(part: str, run: Run) -> tuple[Figures, Criteria]:
    """One table: every workload in a process of its own."""
    left_out = heats.skipped(part)
    for name, reason in left_out.items():
        run.console.print(f"{name} is left out: {reason}.")
    tasks = [(part, name, run.rounds, run.quick) for name in run.workloads]
    found = list(each(heats.heat, tasks, tables.TITLES[part].lower()))
    run.console.print(tables.seconds(part, found))
    compared = tables.ratios(part, found)
    if compared:
        run.console.print(compared)
    return {"skipped": left_out, "heats": [asdict(one) for one in found]}, criteria.of_heats(found)


def measure_start(run: Run) -> tuple[Figures, Criteria]:
    """A whole process."""
    found = commands.start(run.rounds)
    _show(run, "A whole process", found)
    return asdict(found), criteria.of_start(found)


def measure_growth(run: Run) -> tuple[Figures, Criteria]:
    """The slope of the sweep."""
    (found,) = each(growth.measured, [(run.rounds, run.quick)], "growth")
    run.console.print(f"Every entry of I-64-10 with I growing: log-log slope {found.slope}", style="bold")
    run.console.print(growth.plot(found), highlight=False)
    return {**asdict(found), "slope": asdict(found.slope)}, criteria.of_growth(found)


def measure_workers(run: Run) -> tuple[Figures, Criteria]:
    """One worker and two: many specs that last long together, one long spec, one short."""
    with TemporaryDirectory() as folder:
        many = commands.workers_on_many(Path(folder), "b.yaml" if run.quick else "e.yaml", run.rounds, not run.quick)
    one = commands.workers_on_one("b.yaml" if run.quick else "e.yaml", run.rounds)
    short = commands.workers_on_one("a.yaml", run.rounds)
    for title, found in {"many specs": many, "one spec": one, "a short run": short}.items():
        _show(run, f"Workers, {title}", found)
    figures = {"many": asdict(many), "one": asdict(one), "short": asdict(short)}
    return figures, criteria.of_workers(many, short)


def measure_scale(run: Run) -> tuple[Figures, Criteria]:
    """Great networks."""
    tasks = [("million.yaml", run.rounds)] + ([] if run.quick else [("ten_million.yaml", 1)])
    found = list(each(scale.measured, tasks, "great networks"))
    run.console.print(tables.scale(found))
    return {"networks": [asdict(one) for one in found]}, criteria.of_scale(found[0], found[1] if found[1:] else None)


def _show(run: Run, title: str, found: commands.Commands) -> None:
    if found.timings:
        run.console.print(tables.commands(title, found))
    if found.skipped:
        run.console.print(f"{title} is not measured: {found.skipped}.")


MEASURE: dict[str, Callable[[Run], tuple[Figures, Criteria]]] = {
    "entries": lambda run: measure_heats("entries", run),
    "direction": lambda run: measure_heats("direction", run),
    "checks": lambda run: measure_heats("checks", run),
    "start": measure_start,
    "growth": measure_growth,
    "workers": measure_workers,
    "scale": measure_scale,
}


def machine() -> Figures:
    """Where the figures are from; `load` is how many processes wanted a processor in the last minute."""
    return {"python": platform.python_version(), "processors": os.cpu_count(), "load": os.getloadavg()[0]}


def measured(run: Run, parts: tuple[str, ...], destination: Path) -> bool:
    """Measure the parts, print their tables, write the figures -> whether nothing is missed."""
    figures: Figures = {"rounds": run.rounds, "quick": run.quick, "versions": versions(), "before": machine()}
    found: Criteria = []
    for part in parts:
        figures[part], criterion = MEASURE[part](run)
        found += criterion
    run.console.print(tables.criteria(found))
    figures |= {"after": machine(), "criteria": [asdict(one) for one in found]}
    destination.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    load = f"{figures['before']['load']:.1f} before and {figures['after']['load']:.1f} after"
    run.console.print(f"Load of the machine: {load}, {os.cpu_count()} processors. All figures are in {destination}.")
    return all(one.met is not False for one in found)


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--quick", is_flag=True, help=f"{QUICK_ROUNDS} rounds, slow peers on a part of the entries.")
@click.option("--rounds", type=click.IntRange(1), help=f"Turns of everybody; {ROUNDS} unless it must be quick.")
@click.option("--workload", "workloads", type=click.Choice(tuple(LETTERS), case_sensitive=False), multiple=True,
              help="This one alone; repeatable.")  # fmt: skip
@click.option("--part", "parts", type=click.Choice(tuple(MEASURE)), multiple=True, help="This one alone; repeatable.")
@click.option("--json", "destination", type=click.Path(dir_okay=False, path_type=Path),
              default=Path("versus_peers.json"), show_default=True, help="Where the figures are written.")  # fmt: skip
def main(
    quick: bool, rounds: int | None, workloads: tuple[str, ...], parts: tuple[str, ...], destination: Path
) -> None:
    """Parse what was asked for, and do it."""
    pin_threads()
    console = Console(width=None if sys.stdout.isatty() else 160)
    run = Run(rounds or (QUICK_ROUNDS if quick else ROUNDS), quick, workloads or tuple(LETTERS), console)
    sys.exit(0 if measured(run, parts or tuple(MEASURE), destination) else 1)


if __name__ == "__main__":
    main()
