"""One random network again, with everything that is said about it."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table

from _trust.alarms import CONFIGURATIONS, Check, checked
from _trust.nets import Net, draw_net
from _trust.recipes import NoRecipe, Units
from gradcheck.findings import Row
from gradcheck.pipeline import Outcome, run_case

_PARTS = ("analytic", "numeric", "bar", "verdict")


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
            console.print(_rows(run_case(net.case(dtype, method), "")))
    return not check.alarm


def _summary(check: Check) -> str:
    counts = f"{check.passed} pass, {check.fail} fail, {check.inconclusive} inconclusive, {check.kink} kink"
    accused = f"; {' and '.join(check.accused)} failed" if check.accused else ""
    return f"{check.method}, {check.dtype}: {counts}; closest call {check.closest:.2f} bars{accused}"


def _rows(outcome: Outcome) -> Table:
    """The tensors that did not pass, each with the entry that is farthest from passing."""
    table = Table()
    for column in (
        "tensor",
        "fail",
        "inconclusive",
        "kink",
        "of",
        "method",
        "entry",
        "analytic",
        "numeric",
        "bar",
        "bar / |numeric|",
    ):
        table.add_column(column)
    for row in outcome.report.rows:
        if row.counts.fail or row.counts.inconclusive:
            index, analytic, numeric, bar = _farthest(outcome, row)
            table.add_row(
                row.name, str(row.counts.fail), str(row.counts.inconclusive), str(row.counts.kink), str(row.entries),
                row.method, str(list(index)), f"{analytic:.9g}", f"{numeric:.9g}", f"{bar:.1e}",
                f"{bar / abs(numeric):.1e}" if numeric else "",
            )  # fmt: skip
    return table


def _farthest(outcome: Outcome, row: Row) -> tuple[tuple[int, ...], float, float, float]:
    """(index, analytic, numeric, bar) of the failure that is most bars away, or of the least certain doubt."""
    analytic, numeric, bar, verdict = (outcome.gradients[f"{row.name}/{part}"] for part in _PARTS)
    with np.errstate(divide="ignore", invalid="ignore"):
        badness = np.abs(analytic - numeric) / bar if row.counts.fail else bar / np.abs(numeric)
    among = verdict == ("fail" if row.counts.fail else "inconclusive")
    flat = int(np.argmax(np.where(among, np.nan_to_num(badness, nan=np.inf), -1.0)))
    index = tuple(int(i) for i in np.unravel_index(flat, verdict.shape))
    return index, float(analytic[index]), float(numeric[index]), float(bar[index])
