"""Do layers and losses say what PyTorch says? Outputs and all gradients, over random shapes and options.

    python benchmarks/cross_examination.py               100 draws of each, two minutes; writes cross_examination.json
    python benchmarks/cross_examination.py --only lstm   one of them; repeatable

A disagreement is the greatest difference between two arrays, in units of rounding: 2⁻⁵³ (in float32 2⁻²⁴) of the
greatest number in the array, or of the greatest in the draw if that number is rounding itself (the gradient of the bias
of attention's keys is zero in truth); where something cancels in a gradient, its measured rounding. Both sides compute
in the same precision, first in float64, then in float32, and sum in different orders.

Layers and losses stand beside their counterparts in the tables of benchmarks/_cross; those that PyTorch has not are
named, with what their tests hold them against where that is known. The exit code is 0 if all agree within a thousand
roundings, 1 if not, and 5 if nothing was compared: without PyTorch there is nobody to ask.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import click
from _cross.compare import FOLDERS, MOST, UNITS, Agreement, examine
from _trust.recipes import Units
from rich.console import Console
from rich.progress import track
from rich.table import Table

NOBODY = "PyTorch is not installed, so there is nobody to ask: python -m pip install torch"


def table(found: Sequence[Agreement]) -> Table:
    """One line for each layer and loss, the largest disagreement first."""
    lines = Table(title="Largest disagreement with PyTorch, in units of rounding")
    for column in ("", "in", "draws", "arrays", "roundings", "of", "in the draw"):
        lines.add_column(column, justify="right" if column in ("draws", "arrays", "roundings") else "left")
    for one in sorted(found, key=lambda one: (not one.missing, -one.largest, one.name)):
        largest = "" if one.missing else f"{one.largest:.1f}" + ("" if one.agrees else " !")
        lines.add_row(one.name, one.dtype, str(one.draws), str(one.arrays), largest, one.what, one.missing or one.draw)
    return lines


def without_row(units: Units) -> dict[str, list[str]]:
    """The layers and losses that have no counterpart in the table."""
    return {folder: sorted(set(getattr(units, folder)) - set(rows)) for folder, (rows, _) in FOLDERS.items()}


def against(name: str, kind: Any) -> str:
    """A layer or loss, with what its docstring says that it was verified against if it does."""
    found = re.search(r"^ +verified +(.+)$", kind.__doc__ or "", re.MULTILINE)
    return f"{name} ({found[1]})" if found else name


def number(value: float) -> float | str:
    """As JSON can hold it: infinity, where one side has no such array, is a word."""
    return value if math.isfinite(value) else str(value)


def versions() -> dict[str, str]:
    """Of everything whose figures are compared."""
    packages = ("gradcheck", "numpy", "torch")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def subjects(units: Units, only: Sequence[str]) -> list[tuple[str, str, Any]]:
    """What is examined: folder, name and class of all that have a row, or of some by name."""
    every = [(folder, name, getattr(units, folder)[name]) for folder in FOLDERS for name in getattr(units, folder)]
    unknown = [name for name in only if name not in [known for _, known, _ in every]]
    if unknown:
        raise click.BadParameter(f"there is no layer or loss `{unknown[0]}`", param_hint="--only")
    return [one for one in every if one[1] in FOLDERS[one[0]][0] and (not only or one[1] in only)]


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--draws", type=click.IntRange(1), default=100, show_default=True, help="How many of each.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--only", multiple=True, help="A layer or a loss by name; repeatable.")
@click.option("--dtype", "dtypes", type=click.Choice(list(UNITS)), multiple=True, help="In this precision alone.")
@click.option("--json", "destination", type=click.Path(dir_okay=False, path_type=Path),
              default=Path("cross_examination.json"), show_default=True, help="Where figures are written.")  # fmt: skip
def main(draws: int, seed: int, only: tuple[str, ...], dtypes: tuple[str, ...], destination: Path) -> None:
    """Examine all that have a row, and say how far they are apart."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    if importlib.util.find_spec("torch") is None:
        console.print(NOBODY)
        sys.exit(5)
    units = Units.of_catalogue()
    tasks = subjects(units, only)
    shown = track(list(product(tasks, dtypes or UNITS)), "draws", console=Console(stderr=True), transient=True)
    found = [examine(*subject, draws, seed, dtype) for subject, dtype in shown]
    missing = without_row(units)
    console.print(table(found))
    for folder, names in missing.items():
        if names:
            named = [against(name, getattr(units, folder)[name]) for name in names]
            console.print(f"Without a counterpart in PyTorch: the {folder} {', '.join(named)}.")
    wrong = [f"{one.name} in {one.dtype}" for one in found if not one.agrees]
    console.print(f"Beyond {MOST:.0f} roundings, or not compared: {', '.join(wrong) or 'none'} of {len(found)}.")
    figures = {"seed": seed, "versions": versions(), "most": MOST, "without_row": missing}
    figures["found"] = [{**asdict(one), "largest": number(one.largest), "agrees": one.agrees} for one in found]
    destination.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    console.print(f"All figures are in {destination}.")
    sys.exit(1 if wrong else 0 if found else 5)


if __name__ == "__main__":
    main()
