"""A gradient leaks where there is none.

## What it is
a ≠ 0 where n = 0, and a = n elsewhere: at padding, ignored targets, masked places, units that are clamped. Or the
analytic Jacobian is not 0 where the numeric one is. Where n = 0 everywhere and a is not, backward may be a
straight-through estimator: then say so to those who read it. Or the mask of one operation inside of forward (a
maximum, a `where`, a clip) is missing, and its line is named.

## Why it is bad
What forward does not depend on is pulled all the same, by samples that were to be ignored.

## Typical causes
A mask that forward applies and backward forgets; rows with an ignored target; a hinge that is satisfied; a causal mask
that is not in the softmax of backward.

## How to repair
Keep the mask of forward in the cache and multiply by it in backward, at the same place of the formula.

## How to silence
`--ignore GC109`, for a straight-through estimator that is meant.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis._fit import number
from gradcheck.diagnosis._inside import Tried, predicted, replaced
from gradcheck.diagnosis._prediction import Prediction, explained
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._support import support
from gradcheck.diagnosis._tracing import Seen
from gradcheck.suspect import Suspect

CODE = "GC109"
#: A leak that explains less than this is not what is wrong.
_WORTH = 0.2


def nowhere(suspect: Suspect) -> Iterator[Prediction]:
    """0 everywhere, and a is not."""
    nothing = suspect.clear & (np.abs(suspect.n) <= suspect.bar)
    if nothing.any() and not (suspect.clear & ~nothing).any():
        says = (
            f"{suspect.what} is not zero, and the output does not depend on it at all, to first order: forward is a "
            "staircase or a constant. A straight-through estimator does this on purpose: --ignore GC109 says so"
        )
        look = "whether this is meant, as in a straight-through estimator"
        yield Prediction(np.where(nothing, suspect.a, suspect.n), "a ≠ 0, n = 0", says, look, fixed=True)


def of_data(suspect: Suspect) -> Iterator[Prediction]:
    """The same where something beside the operand says which entries count: a mask, a target, another input."""
    if suspect.is_loss or suspect.data or len(suspect.inputs) > 1 or suspect.parameters:
        yield from predict(suspect)
        yield from _and_scaled(suspect)


def _and_scaled(suspect: Suspect) -> Iterator[Prediction]:
    """The mask forgotten together with the factor that it brings: c n where the output depends on the operand."""
    nothing = suspect.clear & (np.abs(suspect.n) <= suspect.bar)
    leaked, rest = nothing & suspect.wrong, suspect.clear & ~nothing
    total = float(np.sum(np.square(suspect.n[rest])))
    if leaked.any() and total and nothing.sum() < suspect.clear.sum():
        c = float(np.sum(suspect.a[rest] * suspect.n[rest])) / total
        yield Prediction(
            np.where(leaked, suspect.a, c * suspect.n),
            f"a ≠ 0 where n = 0, a = {number(c)} n elsewhere",
            f"{suspect.what} is not zero {support(leaked, suspect)}, where the output does not "
            f"depend on it, and {number(c)} × the right one elsewhere: a mask and its factor are missing",
            "the mask that forward multiplies by",
            free=1,
            fixed=True,
        )


def _jacobians(suspect: Suspect) -> Iterator[Prediction]:
    """n, and what A adds where J is 0."""
    small = suspect.small
    if not small.affordable or small.rows.size != small.flat_upstream.size or small.analytic_jacobian is None:
        return
    A, J = small.analytic_jacobian, small.jacobian
    leaks = (np.abs(A) > 1e-9 * float(np.max(np.abs(A), initial=0.0))) & (J == 0)
    values = small.n + small.unflat(small.flat_upstream @ np.where(leaks, A, 0.0))
    if leaks.any() and explained(small, values) >= _WORTH:
        yield Prediction(
            values,
            "a = n + Σ gₒ Aₒ, over the outputs o that do not depend on it",
            f"{suspect.what} is made of outputs, too, that do not depend on it: "
            f"{leaks.sum() / leaks.size:.0%} of the Jacobian's entries are not zero, and should be",
            "a mask (a causal one, padding) that forward applies and backward forgets",
            small,
            certain=True,
        )


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n, and what backward says where n is 0."""
    nothing = suspect.clear & (np.abs(suspect.n) <= suspect.bar)
    leaked = nothing & suspect.wrong
    if not leaked.any() or (suspect.wrong & ~nothing).any():
        return
    what = f"{suspect.what}"
    look = "a mask that forward applies and backward forgets, or applies at another place"
    yield Prediction(
        np.where(leaked, suspect.a, suspect.n),
        "a ≠ 0 where n = 0, a = n elsewhere",
        f"{what} is not zero {support(leaked, suspect)}, where the output does not depend on it, and right elsewhere",
        look,
        fixed=True,
    )


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n without the mask of one operation inside of forward."""
    yield from predicted(suspect, _masks)


def _masks(site: Site, seen: Seen) -> Iterator[Tried]:
    if site.operation in ("where", "maximum", "minimum", "clip") and seen.chain:
        yield (
            replaced(site, seen, 1, lambda u, y, r: np.ones_like(u)),
            f"a = n without the mask of `{site.short}`",
            f"the mask is missing that is the derivative of {site.words}: what it shuts out gets a gradient, too",
            "a mask that forward applies and backward forgets",
        )


ASKED = ((14, nowhere), (33, of_data), (51, predict), (149, inside), (171, _jacobians))
