"""The figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from _versus.commands import Commands
from _versus.criteria import Criterion
from _versus.heats import Heat
from _versus.rivals import ALONE, DIRECTION, RIVALS, SWEEP, UNIT
from _versus.scale import Scale
from _versus.timing import ratio

TITLES = {"entries": "Every entry", "direction": "One direction", "checks": "All checks"}
#: The row that the others are held against.
_OURS = {"entries": SWEEP, "direction": DIRECTION, "checks": ALONE}


def seconds(part: str, heats: Sequence[Heat]) -> Table:
    """By row and workload: seconds, the median of the rounds; a star where a part of the entries stands for all."""
    starred = any(timing.starred for heat in heats for timing in heat.timings.values())
    table = _workloads(f"{TITLES[part]}: seconds{' (* scaled from a part)' if starred else ''}", heats)
    for rival in RIVALS[part]:
        cells = [
            f"{heat.timings[rival.name].median:.3g}{'*' if heat.timings[rival.name].starred else ''}"
            if rival.name in heat.timings
            else "–"
            for heat in heats
        ]
        table.add_row(rival.name, *cells)
    return table


def ratios(part: str, heats: Sequence[Heat]) -> Table | None:
    """By row and workload: how many times as long as gradcheck it takes, least and greatest of the rounds in brackets.

    Above them, how many times as long as the unit gradcheck takes. None where gradcheck was not timed.
    """
    ours = _OURS[part]
    if not any(ours in heat.timings for heat in heats):
        return None
    table = _workloads(f"{TITLES[part]}: times {ours}", heats)
    quotients = [(f"{ours} in forward + backward", ours, UNIT)]
    quotients += [(rival.name, rival.name, ours) for rival in RIVALS[part] if rival.name not in (ours, UNIT)]
    for label, slow, fast in quotients:
        cells = [
            str(ratio(heat.timings[slow], heat.timings[fast])) if {slow, fast} <= heat.timings.keys() else "–"
            for heat in heats
        ]
        table.add_row(label, *cells)
    return table


def commands(title: str, found: Commands) -> Table:
    """Whole processes: seconds, and how they compare with the last of them."""
    table = _table(title, ("command", "seconds", "times the last"))
    for timing in found.timings:
        table.add_row(timing.name, f"{timing.median:.3g}", str(ratio(timing, found.timings[-1])))
    return table


def scale(found: Sequence[Scale]) -> Table:
    """Great networks, by directions."""
    table = _table(
        "Great networks by directions",
        (
            "parameters",
            "verdict",
            "first run, s",
            "run / unit",
            "directions / unit",
            "memory, MiB",
            "times the network",
        ),
    )
    for one in found:
        table.add_row(
            f"{one.parameters:,}", one.verdict, f"{one.seconds:.3g}", str(one.run_units), str(one.units),
            f"{one.memory / 2**20:.0f}", f"{one.memory / one.network:.2g}",
        )  # fmt: skip
    return table


def criteria(found: Iterable[Criterion]) -> Table:
    """What was asked for, and whether it is so."""
    table = _table("What must hold", ("", "figure", "found", "needed"))
    for one in found:
        words = {True: "[green]met[/]", False: "[red]missed[/]", None: "[yellow]not measured[/]"}[one.met]
        if one.met is None and one.found:
            words = "[yellow]run too small[/]"
        table.add_row(words, one.name, one.found, one.needed)
    return table


def _workloads(title: str, heats: Sequence[Heat]) -> Table:
    return _table(title, ("", *(f"{heat.workload} ({heat.entries:,})" for heat in heats)))


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
