"""Two gradients and an error bar side by side -> a verdict for every entry.

With a the analytic value, n the numeric one, bar the error bar of the comparison, which never depends on a - n, and
w = r max(|n|, 1e-3 max|n|) what must be told apart (r = 1e-6 for a float64 backward, 1e-3 for a float32 one):

    pass          |a - n| ≤ bar ≤ w
    fail          |a - n| > bar, and a second estimate by another step or scheme disagrees too
    inconclusive  everything else
    kink          the entry sits on or next to a point without a derivative, and every layer on its path passed alone

A tensor whose max|n| lies below its own errors, and those below what anybody could notice, is vacuous: there nothing
but |a - n| ≤ bar can be asked. An entry without a derivative has no part in that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.findings import Counts, Row, Worst, worst_verdict

Array = NDArray[Any]
_FLOOR = 1e-3
PASS, KINK, INCONCLUSIVE, FAIL = range(4)
_NAMES = ("pass", "kink", "inconclusive", "fail")


class Second(Struct, frozen=True):
    """Another estimate of the same entries: value and error bar."""

    numeric: Array
    bar: Array


class Comparison(Struct, frozen=True, dict=True):
    """One tensor, entry by entry. All arrays have its shape.

    error       of the numeric side alone
    bar         of the comparison: the numeric error and the rounding of the analytic side
    selected    which entries count
    noticeable  the gradient that would move the loss noticeably if the tensor moved by its own size
    defined     whether the loss is finite at the point: then a numeric value that is not says only that no step stays
                in the domain
    usual       the usual size of the values, where it is known otherwise: of slopes along directions, ‖g‖. What must be
                told apart is relative to it then, as a single slope may happen to be small
    kink        which entries have met a point without a derivative

    Along directions there is one number for each of them: then the tensor here is that of the draws.
    """

    analytic: Array
    numeric: Array
    error: Array
    bar: Array
    selected: Array
    resolution: float
    noticeable: float = np.inf
    rtol: float = 0.0
    defined: bool = True
    usual: float = 0.0
    kink: Array | bool = False

    @cached_property
    def distance(self) -> Array:
        """|a - n|; infinite where either side is not finite."""
        with np.errstate(invalid="ignore"):
            distance = np.abs(self.analytic - self.numeric)
        return np.where(np.isfinite(distance), distance, np.inf)

    @cached_property
    def told_apart(self) -> Array:
        """w."""
        return np.maximum(told_apart(self.numeric, self.resolution), self.resolution * self.usual)

    @cached_property
    def vacuous(self) -> bool:
        """Whether the numeric gradient is nowhere greater than its own error, and that error is nothing to notice."""
        nothing = (np.abs(self.numeric) <= self.error) & (self.error <= self.noticeable)
        return bool(np.all(nothing | self.kink) and not np.all(self.kink))

    @cached_property
    def agrees(self) -> Array:
        """|a - n| ≤ bar, whatever the bar."""
        return np.asarray(self.distance <= self.bar)

    @cached_property
    def passes(self) -> Array:
        """Entries that need no second look."""
        fine = np.asarray(self.bar <= self.told_apart) | (self.vacuous & ~np.asarray(self.kink))
        passing: Array = self.agrees & fine
        return passing | (self.distance <= self.rtol * np.abs(self.numeric)) if self.rtol else passing


def told_apart(numeric: Array, resolution: float) -> Array:
    """w of every entry of a tensor."""
    size = np.where(np.isfinite(numeric), np.abs(numeric), 0.0)
    widened: Array = resolution * np.maximum(size, _FLOOR * np.max(size, initial=0.0))
    return widened


def verdicts(
    comparison: Comparison,
    kink: Array,
    seconds: Sequence[Second],
    proved: bool = False,
    convicted: Array | None = None,
    undecided: Array | None = None,
) -> Array:
    """A verdict for every entry, as an index into the order pass, kink, inconclusive, fail.

    kink     entries that sit at a kink, where every layer on the path has passed alone
    seconds  further estimates; one of them must disagree with the analytic value too before an entry fails
    convicted  entries that sit at a kink, where a layer on the path is outside its slopes: that is the second estimate
    proved   whether the first estimate comes from a scheme that was shown to be right here (the complex step): then a
             second one contradicts it only by siding with the analytic value, else by disagreeing with it
    undecided  entries for which no step of a ladder can be believed
    """
    result = np.full(comparison.analytic.shape, INCONCLUSIVE)
    result[comparison.passes] = PASS
    disagree = np.zeros(result.shape, dtype=bool)
    contradict = np.zeros(result.shape, dtype=bool)
    for second in seconds:
        with np.errstate(invalid="ignore"):
            sides = np.abs(comparison.analytic - second.numeric) <= second.bar
            apart = np.abs(comparison.numeric - second.numeric) > comparison.bar + second.bar
            disagree |= np.abs(comparison.analytic - second.numeric) > second.bar
        contradict |= (sides & apart) if proved else apart
    undecided = np.zeros(result.shape, dtype=bool) if undecided is None else undecided
    result[~comparison.passes & ~comparison.agrees & disagree & ~contradict & ~undecided] = FAIL
    if convicted is not None:
        result[~comparison.passes & ~comparison.agrees & convicted] = FAIL
    result[kink] = KINK
    result[~np.isfinite(comparison.numeric)] = INCONCLUSIVE if comparison.defined else FAIL
    result[~np.isfinite(comparison.analytic)] = FAIL
    return result


def row(name: str, comparison: Comparison, verdict: Array, method: str, reason: str = "") -> Row:
    """The report's row: counts, worst entry, greatest errors over the entries that have a derivative."""
    selected = comparison.selected
    counted = [int(np.sum(verdict[selected] == k)) for k in range(4)]
    counts = Counts(counted[PASS], counted[FAIL], counted[INCONCLUSIVE], counted[KINK])
    smooth = selected & (verdict != KINK)
    distance, bar = comparison.distance, comparison.bar
    size = np.abs(comparison.numeric)
    clear = smooth & (size > bar)
    relative = np.divide(distance, size, out=np.zeros_like(distance), where=clear)
    seen = np.divide(bar, size, out=np.full_like(distance, np.inf), where=clear)
    detectable = max(float(np.min(seen[clear])), comparison.rtol) if clear.any() else None
    shape = comparison.analytic.shape
    return Row(
        name=name,
        shape=shape,
        entries=int(comparison.analytic.size),
        checked=counts.total,
        verdict=worst_verdict([_NAMES[k] for k in range(4) if counted[k]], "not_applicable"),
        counts=counts,
        max_abs_error=float(np.max(distance[smooth], initial=0.0)),
        max_rel_error=float(np.max(relative[clear], initial=0.0)),
        error_bar=float(np.max(bar[smooth], initial=0.0)),
        worst=worst_entry(comparison, verdict),
        detectable=detectable,
        method=method,
        reason=reason,
        untested=int(np.sum(untested(comparison, verdict))),
    )


def row_along(
    name: str, comparison: Comparison, verdict: Array, shape: tuple[int, ...], method: str, reason: str = ""
) -> Row:
    """The row of a tensor that was probed along directions: no entry of it was checked.

    detectable  the smallest relative mistake in one entry of usual size (the root mean square) that would have been
                seen along the direction that shows most
    """
    counted = [int(np.sum(verdict == k)) for k in range(4)]
    smooth = verdict != KINK
    distance, size = comparison.distance, np.maximum(np.abs(comparison.numeric), comparison.usual)
    entries = int(np.prod(shape))
    entry = comparison.usual / np.sqrt(max(entries, 1))
    clear = smooth & (comparison.bar < comparison.usual)
    seen = float(np.min(comparison.bar[clear])) / entry if clear.any() and entry else None
    return Row(
        name=name,
        shape=shape,
        entries=entries,
        checked=0,
        verdict=worst_verdict([_NAMES[k] for k in range(4) if counted[k]], "not_applicable"),
        max_abs_error=float(np.max(distance[smooth], initial=0.0)),
        max_rel_error=float(np.max(excess(distance, size)[smooth], initial=0.0)),
        error_bar=float(np.max(comparison.bar[smooth], initial=0.0)),
        detectable=None if seen is None else max(float(seen), comparison.rtol),
        directions={"drawn": len(verdict), "pass": counted[PASS], "fail": counted[FAIL]},
        method=method,
        reason=reason,
    )


def untested(comparison: Comparison, verdict: Array) -> Array:
    """Entries that pass with a true gradient of zero, within the bar: no relative mistake could be seen there."""
    marked: Array = comparison.selected & (verdict == PASS) & (np.abs(comparison.numeric) <= comparison.bar)
    return marked


def worst_entry(comparison: Comparison, verdict: Array) -> Worst | None:
    """The entry with the greatest |a - n| / bar, among those that have a derivative where there are any."""
    eligible = comparison.selected & (verdict != KINK)
    if not eligible.any():
        eligible = comparison.selected
    if not eligible.any():
        return None
    ratio = np.where(eligible, excess(comparison.distance, comparison.bar), -1.0)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    return Worst(
        index, float(comparison.analytic[index]), float(comparison.numeric[index]), float(comparison.bar[index])
    )


def excess(distance: Array, bar: Array) -> Array:
    """|a - n| / bar; 0 where both are 0, infinite where only the bar is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = distance / bar
    return np.where(distance == 0, 0.0, np.where(np.isfinite(ratio), ratio, np.inf))
