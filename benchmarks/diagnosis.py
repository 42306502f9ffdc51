"""Is the guilty layer found, and is its mistake named? Over a corpus of planted mistakes, and over mutants.

    python benchmarks/diagnosis.py              the corpus: specs/wrong, and specs/controls, which must not be flagged
    python benchmarks/diagnosis.py --mutants    every mutant of every backward that ships; half an hour on two cores
    python benchmarks/diagnosis.py --mutants --every 20    each twentieth of them

Corpus    detection, the right layer, the right code (as the head of each spec expects them), controls that are flagged,
          and the confusion table: which code was expected, which was found.
Mutants   sign, factor, axis, transpose, dropped term and index, one change at a time, in small random networks: how
          many of those that change the gradient are caught, how many are blamed on the right layer; what survives, and
          why; which names they get.

The exit code is 0 if everything that must hold does, 1 if not.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from _diagnosis import trials
from _trust.pool import Pool
from rich.console import Console
from rich.table import Table

from gradcheck._cli_select import Selection
from gradcheck.catalogue import Catalogue
from gradcheck.pipeline import run_spec

SPECS = Path(__file__).parents[1] / "specs"
#: What must hold at least: shares of the corpus, then of the mutants.
DETECTED, LAYER, CODE = 1.0, 0.98, 0.9
MUTANTS_DETECTED, MUTANTS_LAYER = 1.0, 0.99
_CONTRACT = ("GC2", "GC3", "GC4", "GC5", "GC9")


@dataclass(frozen=True)
class Judged:
    """One spec of the corpus: what its head expects, and what the report says."""

    name: str
    layer: str
    code: str
    layers: tuple[str, ...]
    codes: tuple[str, ...]

    @property
    def right_layer(self) -> bool:
        """Whether that layer is blamed, and no other."""
        return self.layers == (self.layer,)

    @property
    def right_code(self) -> bool:
        """Whether the expected name is among those of the guilty layer; what has no name is not right."""
        return any(code.startswith(self.code) and code != "GC100" for code in self.codes)

    @property
    def shown(self) -> str:
        """The code to show in the confusion table: the expected one if it is there."""
        return next((c for c in self.codes if c.startswith(self.code)), (self.codes or ("none",))[0])


def judged(path: str) -> Judged:
    """Run one spec with its plugin."""
    spec = Path(path)
    text = spec.read_text(encoding="utf-8")
    expected = dict(re.findall(r"^# expect: (layer|code) (\S+)$", text, re.MULTILINE))
    report = run_spec(path, text, Catalogue((str(spec.with_suffix(".py")),))).report
    meant = tuple(re.findall(r"^# ignore: (\S+)$", text, re.MULTILINE))
    report, _ = Selection(ignore=meant).apply(report)
    errors = [f for f in report.findings if f.severity == "error" and f.consequence_of is None]
    layers = tuple(dict.fromkeys(f.layer for f in errors))
    codes = tuple(dict.fromkeys(f.code for f in errors if f.layer == expected.get("layer", f.layer)))
    return Judged(spec.stem, expected.get("layer", ""), expected.get("code", ""), layers, codes)


def _corpus(pool: Pool, console: Console) -> bool:
    wrong = pool.each(judged, sorted(map(str, (SPECS / "wrong").glob("*.yaml"))), "planted mistakes")
    controls = pool.each(judged, sorted(map(str, (SPECS / "controls").glob("*.yaml"))), "controls")
    detected = [one for one in wrong if one.layers]
    layer = [one for one in wrong if one.right_layer]
    code = [one for one in wrong if one.right_code]
    flagged = [one for one in controls if one.layers]
    console.print(f"{len(wrong)} planted mistakes, {len(controls)} controls")
    holds = [
        _share(console, "detected", len(detected), len(wrong), DETECTED),
        _share(console, "right layer", len(layer), len(wrong), LAYER),
        _share(console, "right code", len(code), len(wrong), CODE),
    ]
    console.print(f"controls flagged   {len(flagged)} of {len(controls)}  {' '.join(c.name for c in flagged)}")
    for one in wrong:
        if not (one.right_layer and one.right_code):
            console.print(f"  {one.name}: expected {one.code} {one.layer}, found {one.codes} {one.layers}")
    _confusion(console, wrong)
    return all(holds) and not flagged


def _share(console: Console, what: str, count: int, of: int, least: float) -> bool:
    holds = of > 0 and count >= least * of
    console.print(
        f"{what:<18} {count} of {of} = {count / max(of, 1):.1%}, at least {least:.0%}: {'yes' if holds else 'NO'}"
    )
    return holds


def _confusion(console: Console, wrong: Sequence[Judged]) -> None:
    table = Table("expected", "found", "how often", title="confusion")
    for (expected, found), count in sorted(Counter((one.code, one.shown) for one in wrong).items()):
        table.add_row(expected, found, str(count))
    console.print(table)


def _mutants(pool: Pool, console: Console, every: int) -> bool:
    chosen = trials.tasks()[::every]
    found = pool.each(trials.trial, chosen, "mutants")
    changing = [one for one in found if one.outcome != "unchanged"]
    caught = [one for one in changing if one.outcome == "caught"]
    blamed = [one for one in caught if one.blamed]
    console.print(f"{len(found)} mutants, {len(changing)} of them change the gradient beyond rounding")
    holds = [
        _share(console, "caught", len(caught), len(changing), MUTANTS_DETECTED),
        _share(console, "right layer", len(blamed), len(caught), MUTANTS_LAYER),
    ]
    for one in changing:
        if one.outcome != "caught" or not one.blamed:
            m = one.mutant
            what = f"{m.unit} #{m.number} {m.operator}, net {one.net}: {m.line}"
            console.print(f"  {one.outcome} {what}  {one.layers} {one.note}", soft_wrap=True)
    table = Table("operator", "change the gradient", "caught", "right layer", "named", title="by operator")
    for operator in sorted({one.mutant.operator for one in changing}):
        of = [one for one in changing if one.mutant.operator == operator]
        numbers = [len(of), *(sum(map(test, of)) for test in (_is_caught, _is_blamed, _is_named))]
        table.add_row(operator, *map(str, numbers))
    console.print(table)
    names = Counter((one.codes or ("none",))[0] for one in caught)
    console.print("names: " + ", ".join(f"{code} {count}" for code, count in names.most_common()))
    unchanged = Counter(one.mutant.unit for one in found if one.outcome == "unchanged")
    console.print("unchanged: " + ", ".join(f"{unit} {count}" for unit, count in sorted(unchanged.items())))
    return all(holds)


def _is_caught(one: trials.Found) -> bool:
    return one.outcome == "caught"


def _is_blamed(one: trials.Found) -> bool:
    return one.blamed


def _is_named(one: trials.Found) -> bool:
    return any(code != "GC100" for code in one.codes)


@click.command()
@click.option("--mutants", is_flag=True, help="Mutate the backward passes that ship instead of running the corpus.")
@click.option("--every", default=1, show_default=True, help="Only each n-th mutant.")
@click.option("--jobs", default=2, show_default=True, help="Worker processes; 0 for none.")
def main(mutants: bool, every: int, jobs: int) -> None:
    """Measure detection, blame and names."""
    console = Console()
    with Pool(jobs) as pool:
        holds = _mutants(pool, console, every) if mutants else _corpus(pool, console)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
