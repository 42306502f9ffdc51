"""What the figures must be, and whether they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from _trust.alarms import Coverage, Tally
from _trust.bars import METHODS, NETWORKS, Accuracy
from _trust.equivalences import Said
from _trust.sensitivity import Share

FULL_NETS, NETS_PER_LAYER, FULL_TRIALS, FULL_ENTRIES = 2000, 20, 200, 500
MEDIAN_LAYERS, MEDIAN_ENTRIES = 4, 300
#: The methods of which entries may be inconclusive in so few cases; differences alone are shown beside them.
DOUBT_LIMITED = ("auto", "central")
INCONCLUSIVE, CAUGHT, INSIDE, RATIO = 0.001, 0.95, 0.999, 100


@dataclass(frozen=True)
class Criterion:
    """One figure, as words, and what it must be. `met` is None where the run was too small to tell."""

    name: str
    found: str
    needed: str
    met: bool | None


def of_alarms(tallies: Mapping[str, Tally], covered: Coverage, nets: int) -> list[Criterion]:
    """No correct network is called wrong, few entries are in doubt, and the networks were varied enough to say so."""
    total = tallies["all"]
    asked = [tally for name, tally in tallies.items() if name.startswith(DOUBT_LIMITED)]
    doubt = sum(tally.inconclusive for tally in asked) / max(1, sum(tally.entries for tally in asked))
    rarest = min(covered.layers, key=lambda name: covered.layers[name])
    large = nets >= FULL_NETS
    missing = "; ".join(covered.missing) or "all could be drawn"
    return [
        Criterion("every layer and loss has a drawing recipe", missing, "all", not covered.missing),
        Criterion("nets", f"{nets:,}", f"≥ {FULL_NETS:,}", True if large else None),
        Criterion("nets with the rarest layer", f"{covered.layers[rarest]} ({rarest})", f"≥ {NETS_PER_LAYER}",
                  covered.layers[rarest] >= NETS_PER_LAYER if large else None),
        Criterion("median layers of a net", f"{covered.median_layers:g}", f"≥ {MEDIAN_LAYERS}",
                  covered.median_layers >= MEDIAN_LAYERS),
        Criterion("median entries of a net", f"{covered.median_entries:g}", f"≥ {MEDIAN_ENTRIES}",
                  covered.median_entries >= MEDIAN_ENTRIES),
        Criterion("entries of correct nets called `fail`", f"{total.fail:,} of {total.entries:,}", "0",
                  not total.fail),
        Criterion("checks of correct nets with any alarm", f"{len(total.unclean)} of {total.nets:,}", "0",
                  not total.unclean),
        Criterion(f"entries called `inconclusive`, by {' and '.join(DOUBT_LIMITED)}", f"{doubt:.3%}",
                  f"≤ {INCONCLUSIVE:.1%}", doubt <= INCONCLUSIVE),
    ]  # fmt: skip


def of_equivalences(found: Sequence[Said], accused: Sequence[Said], full: int) -> list[Criterion]:
    """No check of an equivalence or of the contract says anything bad of a correct network."""
    nets = len({said.index for said in found})
    return [
        Criterion("nets asked for the equivalences", f"{nets:,}", f"≥ {full:,}", True if nets >= full else None),
        Criterion("of them accused by a check, in either precision", f"{len(accused)} of {len(found):,}", "0",
                  not accused),
    ]  # fmt: skip


def of_sensitivity(shares: Sequence[Share]) -> list[Criterion]:
    """Every planted mistake of the required size is called wrong, nearly always."""
    worst = min(shares, key=lambda share: share.caught)
    trials = min(share.trials for share in shares)
    where = f"{worst.setting.name}, {worst.what}, loss × {worst.scale:g}"
    return [
        Criterion("trials of each kind", f"{trials}", f"≥ {FULL_TRIALS}", True if trials >= FULL_TRIALS else None),
        Criterion("planted mistakes called `fail`, worst kind", f"{worst.caught:.1%} ({where})", f"≥ {CAUGHT:.0%}",
                  worst.caught >= CAUGHT),
    ]  # fmt: skip


def of_bars(rows: Sequence[Accuracy]) -> list[Criterion]:
    """The true error lies inside the bar, and the bar of differences is not much greater."""
    known = {row.witness: row for row in rows}
    ours = [known[f"gradcheck, {method}"] for method in METHODS]
    entries = min(row.entries for row in ours)
    found = [
        Criterion(f"entries compared with 50 digits, over {len(NETWORKS)} networks", f"{entries}",
                  f"≥ {FULL_ENTRIES}", True if entries >= FULL_ENTRIES else None)
    ]  # fmt: skip
    for row in ours:
        inside = row.inside or 0.0
        found.append(Criterion(f"true error inside the bar, {row.witness}", f"{inside:.2%}", f"≥ {INSIDE:.1%}",
                               inside >= INSIDE))  # fmt: skip
    for row in ours[1:]:
        ratio = row.ratio or float("inf")
        name = f"median bar / true error, {row.witness}"
        found.append(Criterion(name, f"{ratio:.3g}", f"≤ {RATIO}", ratio <= RATIO))
    return found
