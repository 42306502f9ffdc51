"""One random network again, with everything that is said about it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from _trust.alarms import CONFIGURATIONS, Check, checked
from _trust.nets import Net, draw_net
from _trust.recipes import NoRecipe, Units
from gradcheck.findings import Row
from gradcheck.pipeline import run_case


def show_net(console: Console, seed: int, index: int) -> bool:
    """Print the net of (seed, index) and what each configuration says -> whether no alarm was raised."""
    try:
        net = draw_net(Units.of_catalogue(), seed, index)
    except NoRecipe as error:
        console.print(str(error), markup=False)
        return False
    for line in net.described():
        console.print(line, markup=False)
    clean = [_shown(console, net, method, dtype) for method, dtype in CONFIGURATIONS]
    return all(clean)


def _shown(console: Console, net: Net, method: str, dtype: str) -> bool:
    check = checked(net, method, dtype)
    console.print(_summary(check), markup=False)
    if check.alarm or check.inconclusive:
        for error in check.errors:
            console.print(f"  {error}", markup=False)
        if check.entries:
            console.print(_rows(run_case(net.case(dtype, method), "").report.rows))
    return not check.alarm


def _summary(check: Check) -> str:
    counts = f"{check.passed} pass, {check.fail} fail, {check.inconclusive} inconclusive, {check.kink} kink"
    accused = f"; {' and '.join(check.accused)} failed" if check.accused else ""
    return f"{check.method}, {check.dtype}: {counts}{accused}"


def _rows(rows: tuple[Row, ...]) -> Table:
    """The tensors that did not pass, each with the entry that is the most bars away."""
    table = Table()
    for column in ("tensor", "fail", "inconclusive", "kink", "of", "method", "worst", "analytic", "numeric", "bar"):
        table.add_column(column)
    for row in rows:
        if row.counts.fail or row.counts.inconclusive:
            worst = row.worst
            last = [str(list(worst.index)), *(f"{v:.9g}" for v in (worst.analytic, worst.numeric))] if worst else []
            table.add_row(
                row.name, str(row.counts.fail), str(row.counts.inconclusive), str(row.counts.kink), str(row.entries),
                row.method, *last, f"{worst.error_bar:.1e}" if worst else "",
            )  # fmt: skip
    return table
