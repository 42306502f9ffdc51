"""The figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from _trust.alarms import CONFIGURATIONS, EQUIVALENCES, Coverage, Tally, Trial
from _trust.bars import Accuracy
from _trust.comparison import Alarm, Reach, reached
from _trust.criteria import Criterion
from _trust.equivalences import Said
from _trust.fixed import WORKLOADS
from _trust.sensitivity import KINDS, Share

#: Most rows of the longest tables; the file has them all.
_SHOWN, _GROUPS = 30, 12


def false_alarms(tallies: Mapping[str, Tally]) -> Table:
    """By method and dtype: entries by verdict, with and without those at a kink, and nets accused of anything else."""
    table = _table(
        "False alarms on correct networks",
        ("method, dtype", "nets", "entries", "fail", "inconclusive", "of entries", "without kinks", "kink",
         "closest call", *EQUIVALENCES, "errors"),
    )  # fmt: skip
    for name, tally in tallies.items():
        table.add_row(
            name, f"{tally.nets:,}", f"{tally.entries:,}", f"{tally.fail:,}", f"{tally.inconclusive:,}",
            f"{tally.share(tally.inconclusive):.3%}", f"{tally.share(tally.inconclusive, without_kinks=True):.3%}",
            f"{tally.kink:,}", f"{tally.closest:.2f} bars",
            *[str(count) for count in tally.accused.values()], str(tally.errors),
        )  # fmt: skip
    return table


def groups(tallies: Mapping[str, Tally]) -> Table:
    """By trait, layer, loss and reduction: where alarms and doubt come from, worst first."""
    title = "The same by what is in the net, where it is worst"
    table = _table(title, ("with", "checks", "entries", "fail", "inconclusive", "kink"))
    order = sorted(tallies, key=lambda name: (-tallies[name].fail, -tallies[name].share(tallies[name].inconclusive)))
    for name in order[:_GROUPS]:
        tally = tallies[name]
        doubt, kink = tally.share(tally.inconclusive), tally.share(tally.kink)
        table.add_row(name, f"{tally.nets:,}", f"{tally.entries:,}", f"{tally.fail:,}", f"{doubt:.3%}", f"{kink:.2%}")
    return table


def equivalences(tallies: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Table:
    """By precision and check: how often each verdict was given, term by term of the losses."""
    verdicts = ("fail", "inconclusive", "pass", "not_applicable")
    title = "Equivalences and the contract on correct networks, each term of a loss by itself"
    table = _table(title, ("dtype", "check", *(verdict.replace("_", " ") for verdict in verdicts)))
    for dtype, checks in tallies.items():
        for name, counts in checks.items():
            table.add_row(dtype, name, *(f"{counts.get(verdict, 0):,}" for verdict in verdicts))
    return table


def accused(found: Sequence[Said], seed: int) -> Table:
    """The correct networks that a check has accused."""
    command = f"python benchmarks/trust.py --seed {seed} --only NET"
    table = _table(f"Nets that were accused: {len(found)}. Repeat one: {command}",
                   ("net", "dtype", "said", "layers", "loss"))  # fmt: skip
    for said in found[:_SHOWN]:
        words = "; ".join(word[:300] for word in said.against)
        table.add_row(str(said.index), said.dtype, words, " ".join(said.layers), said.loss)
    return table


def covered(coverage: Coverage) -> Table:
    """In how many nets each layer, loss and reduction was."""
    table = _table("Networks that were drawn", ("", "nets with it"))
    kinds = {"layers": coverage.layers, "losses": coverage.losses, "reductions": coverage.reductions}
    for kind, counts in kinds.items():
        table.add_row(kind, ", ".join(f"{name} {count}" for name, count in counts.items()))
    return table


def unclean(trials: Sequence[Trial], seed: int) -> Table:
    """The nets with an alarm or in doubt, worst first."""
    title = f"Nets that are not clean: {len(trials)}. Repeat one: python benchmarks/trust.py --seed {seed} --only NET"
    counted = f"inconclusive by {'; '.join(' '.join(configuration) for configuration in CONFIGURATIONS)}"
    table = _table(title, ("net", "fail", counted, "said", "layers", "loss", "traits"))
    for one in trials[:_SHOWN]:
        said = sorted({word for check in one.checks for word in (*check.accused, *[e[:60] for e in check.errors])})
        table.add_row(
            str(one.index), str(sum(check.fail for check in one.checks)),
            " ".join(str(check.inconclusive) for check in one.checks),
            "; ".join(said), " ".join(one.layers), f"{one.loss} {one.reduction}", ", ".join(one.traits),
        )  # fmt: skip
    return table


def sensitivity(shares: Sequence[Share]) -> Table:
    """By setting and kind of mistake: which share was caught."""
    table = _table(
        "Sensitivity: mistakes that are called wrong",
        ("checked by", "relative size", "wrong", "loss ×", "trials", "caught", "inconclusive"),
    )
    for share in shares:
        table.add_row(
            share.setting.name, f"{share.setting.r:g}", share.what, f"{share.scale:g}", str(share.trials),
            f"{share.caught:.1%}", f"{share.inconclusive:.1%}",
        )  # fmt: skip
    return table


def missed(shares: Sequence[Share], seed: int) -> Table:
    """The planted mistakes that were not called wrong."""
    catches = [catch for share in shares for catch in share.missed]
    command = f"python benchmarks/trust.py --seed {seed} --part sensitivity --only TRIAL"
    title = f"Mistakes that were missed: {len(catches)}. Repeat one: {command}"
    table = _table(title, ("trial", "checked by", "loss ×", "wrong", "|g| / max|g|", "verdict"))
    for catch in catches[:_SHOWN]:
        wrong = f"{catch.name}{list(catch.index)}" if catch.what == "entry" else catch.name
        size = f"{catch.size:.1e}"
        table.add_row(str(catch.net), catch.setting, f"{catch.scale:g}", wrong, size, catch.verdict)
    return table


def bars(rows: Sequence[Accuracy]) -> Table:
    """By witness: how often the true error lies inside the bar, and how much greater the bar is."""
    table = _table(
        "Error bars against 50-digit arithmetic",
        ("witness", "entries", "true error inside", "median bar / true error", "median true error / |g|"),
    )
    for row in rows:
        inside = "gives no bar" if row.inside is None else f"{row.inside:.2%}"
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        table.add_row(row.witness, str(row.entries), inside, ratio, f"{row.error:.1e}")
    return table


def peers_alarms(alarms: Sequence[Alarm]) -> Table:
    """By checker and precision: correct gradients called wrong, on each workload."""
    table = _table("Correct gradients called wrong, by default settings", ("checker", "dtype", *WORKLOADS))
    for checker, dtype in dict.fromkeys((a.checker, a.dtype) for a in alarms):
        cells = []
        for workload in WORKLOADS:
            some = [a.accused for a in alarms if (a.checker, a.dtype, a.workload) == (checker, dtype, workload)]
            cells.append(f"{sum(some)} of {len(some)}")
        table.add_row(checker, dtype, *cells)
    return table


def peers_reach(found: Sequence[Reach]) -> Table:
    """By checker and kind of mistake: the smallest relative size that is seen in 95 % of the trials."""
    table = _table("Smallest relative mistake seen in 95 % of the trials", ("checker", "wrong", "loss ×", *WORKLOADS))
    for checker in dict.fromkeys(one.checker for one in found):
        for what, scale in KINDS:
            cells = []
            for workload in WORKLOADS:
                key = (checker, workload, what, scale)
                some = [one for one in found if (one.checker, one.workload, one.what, one.scale) == key]
                smallest = reached(some)
                seen = "none" if smallest is None else f"{smallest:g}"
                cells.append("accuses the correct one" if any(one.blind for one in some) else seen)
            table.add_row(checker, what, f"{scale:g}", *cells)
    return table


def criteria(found: Iterable[Criterion]) -> Table:
    """What was asked for, and whether it is so."""
    table = _table("What must hold", ("", "figure", "found", "needed"))
    words = {True: "[green]holds[/]", False: "[red]fails[/]", None: "[yellow]run too small[/]"}
    for one in found:
        table.add_row(words[one.met], one.name, one.found, one.needed)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
