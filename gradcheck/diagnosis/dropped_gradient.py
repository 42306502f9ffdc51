"""A gradient is dropped: zero where it should not be, or not returned at all.

## What it is
a = 0 where n is not, in a whole tensor or in a part of it, and a = n elsewhere; or backward does not return the
gradient. Or a way through the layer is cut: the analytic Jacobian is 0 where the numeric one is not, and equal
elsewhere. Of a recurrence that is a loop in forward, what the step before has handed on may be taken for a constant.

## Why it is bad
What is dropped is never learnt. Below a layer that hands back zeros, nothing is.

## Typical causes
A detached array, a bias left out of the returned gradients, a skip connection or a state that is not followed back, a
recurrence cut off after one step, a clamp whose mask is too wide, one of a product's two inputs.

## How to repair
For every array that forward takes, follow all ways to the output, and add a gradient for each of them.

## How to silence
`--ignore GC108`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnosis._inside import CUT, Tried, predicted, scaled
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._support import support
from gradcheck.diagnosis._tracing import Seen
from gradcheck.suspect import Suspect

Array = NDArray[Any]
CODE = "GC108"
_LOOK = "a way from the operand to the output that backward does not follow, or a mask that is too wide"


def everything(suspect: Suspect) -> Iterator[Prediction]:
    """0."""
    if not suspect.a[suspect.clear].any():
        says = f"{suspect.what} is zero, and the output does depend on it"
        yield Prediction(np.zeros(suspect.a.shape), "a = 0", says, _LOOK, fixed=True)


def some(suspect: Suspect) -> Iterator[Prediction]:
    """n with zeros."""
    dropped = suspect.clear & (suspect.a == 0) & (np.abs(suspect.n) > suspect.bar)
    if dropped.any():
        says = (
            f"{suspect.what} is zero {support(dropped, suspect)}, where the output does depend on "
            "it, "
            "and right elsewhere"
        )
        yield Prediction(np.where(dropped, 0.0, suspect.n), "a = 0 in a part, n elsewhere", says, _LOOK, fixed=True)


def ways(suspect: Suspect) -> Iterator[Prediction]:
    """Σ gₒ Jₒₖ over the pairs for which A is not 0."""
    suspect = suspect.small
    if not suspect.affordable or suspect.rows.size != suspect.flat_upstream.size:
        return
    found = suspect.analytic_jacobian
    if found is None:
        return
    J = suspect.jacobian
    least = 1e-9 * float(np.max(np.abs(J), initial=0.0))
    cut = (np.abs(found) <= least) & (np.abs(J) > least)
    if cut.any() and (np.abs(found) > least).any():
        values = suspect.unflat(suspect.flat_upstream @ np.where(cut, 0.0, J))
        share = int(np.sum(cut)) / int(np.sum(np.abs(J) > least))
        yield Prediction(
            values,
            "a = Σ gₒ Jₒ, over some outputs o only",
            f"{suspect.what} follows only some of the ways to the output: {share:.0%} of "
            f"the entries of the Jacobian are dropped{_times(suspect, cut)}",
            "a state, a path or a step that is taken for a constant",
            suspect,
            fixed=True,
        )


def in_time(suspect: Suspect) -> Iterator[Prediction]:
    """The same, where all the ways that are cut lead from one step of a sequence to a later one."""
    if _has_steps(suspect.small):
        yield from (found for found in ways(suspect) if "to a later one" in found.says)


def between_steps(suspect: Suspect) -> Iterator[Prediction]:
    """n, and what A has wrong between one step and later ones, where A is right within each step."""
    small = suspect.small
    blocks = _blocks(small)
    if blocks is None or small.analytic_jacobian is None:
        return
    J, off = (array.reshape(blocks.shape) for array in (small.jacobian, small.analytic_jacobian - small.jacobian))
    wrong = np.abs(off) > 1e-6 * float(np.max(np.abs(J), initial=0.0))
    if blocks.any() and wrong[blocks].any() and not wrong[~blocks].any():
        values = small.n + small.unflat(small.flat_upstream @ (small.analytic_jacobian - small.jacobian))
        yield Prediction(
            values,
            "A = J within each step, not between steps",
            f"{suspect.what} is right for the output of the same step, and wrong for those of "
            "later steps: what a step hands on to the next one is not followed back, or not all of it",
            "the state's gradient, dh and dc, from one step to the one before it",
            small,
            certain=True,
        )


def _has_steps(suspect: Suspect) -> bool:
    """Whether a sequence goes in whole, and one of as many steps comes out."""
    y, x = suspect.upstream[0], suspect.array
    alone = len(suspect.upstream) == 1 and suspect.entries is None
    return alone and y.ndim == x.ndim == 3 and y.shape[1] == x.shape[1]


def _blocks(suspect: Suspect) -> Array | None:
    """Which entries of the Jacobian lead from one step to a later one; None where there are no steps."""
    y, x = suspect.upstream[0], suspect.array
    if not _has_steps(suspect):
        return None
    if not suspect.affordable or suspect.rows.size != suspect.flat_upstream.size:
        return None
    later = np.arange(y.shape[1])[:, None] > np.arange(x.shape[1])
    return np.broadcast_to(later[None, :, None, None, :, None], y.shape + x.shape)


def _times(suspect: Suspect, cut: Array) -> str:
    """Whether the ways that are cut lead from one step of a sequence to a later one."""
    y, x = suspect.upstream[0], suspect.array
    if not _has_steps(suspect):
        return ""
    of = cut.reshape(y.shape + x.shape).any(axis=(0, 2, 3, 5))
    return ", all those from one step to a later one" if of.any() and not np.tril(of.T).any() else ""


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n with a recurrence cut off: what an earlier round of a loop in forward has made is a constant, in all
    operations or in one."""
    yield from predicted(suspect, _in_all_rounds)
    yield from predicted(suspect, _in_one_operation)


def _in_all_rounds(site: Site, seen: Seen) -> Iterator[Tried]:
    if seen.carried:
        says = "each step of the recurrence takes what the step before has handed on for a constant"
        yield CUT, "a = n, each round of the loop by itself", f"{says}: it is cut off after one step", _STATE


def _in_one_operation(site: Site, seen: Seen) -> Iterator[Tried]:
    for operand in sorted(seen.carried):
        says = f"the way back through {site.words} into the step before is cut: its state is taken for a constant"
        yield scaled(site, operand, 0.0), f"a = n, the state in `{site.short}` constant", says, _STATE


_STATE = "the state's gradient, dh and dc, from one step to the one before it"

ASKED = ((15, everything), (50, some), (61, in_time), (102, ways), (150, inside), (166, between_steps))
