"""The rounding of the analytic side, as it enters the bar of every entry.

With a the analytic gradient, W the same backward at the same numbers in a wider precision, n ± e the numeric gradient,
g the true one, u and u′ the unit roundoffs of a and of W, and s the spread of a (see `Spread`), two bounds of |a - g|:

    R = 10 s + 4 u Σ|gᵢ|                      how a changes when every number moves by one unit in the last place
    E = |a - W| + R u′/u + e                  where W is right:  |W - n| ≤ e + R u′/u

E is no estimate: |a - g| ≤ |a - W| + |W - g|, however a was rounded, and what is left of W's own rounding is known: it
is linear in the unit roundoff, so R u′/u is what W must be allowed if R is what a must be (and e is room). R has to be
large, as it is known from a few draws and must hold for every entry. E is what has happened in this one.

E excuses no mistake. One in the rule is in W as well: then |W - n| shows it, to a part u′/u of what a could show, and E
is not to be had. A cast to float16 in every precision is such a mistake. One that depends on the precision - a cast of
what comes in float32, a formula chosen by dtype - is in a - W: so E is to be had only where rounding explains a - W,
that is where a - W lies within R taken from moves alone. And E is asked for only where R is too wide to tell anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.compare import told_apart
from gradcheck.evidence import RESOLUTION, Evidence
from gradcheck.gradients.numeric.estimate import Estimate

Array = NDArray[Any]
#: A layer that answers in a narrower precision than it was asked in is moved by its own unit nowhere: room for what
#: cancels inside a sample, in units of that roundoff and of the greatest Σ|gᵢ|.
_NARROW = 64
#: Of the greatest Σ|gᵢ| in a tensor, in units of roundoff: no change of branch that is smaller can be noticed.
_ROUNDING = 2.0**8


def analytic_error(evidence: Evidence, name: str, found: Estimate) -> Array:
    """Rounding of the analytic side: R, or E where R is wider than what must be told apart and E is to be had.

    s is at least half of what is usual in the tensor, where Σ|gᵢ| is not 0. At kinks a wider precision may be on
    another piece: there its distance counts only if it has the size of rounding.
    """
    spread, unit = evidence.spread[name], evidence.analytic.units[name]
    another_piece = found.kink & (spread.wide > _ROUNDING * unit * np.max(found.magnitude, initial=0.0))
    s = np.nan_to_num(np.where(another_piece, spread.moved, spread.greatest), nan=0.0, posinf=0.0)
    least = np.where(found.magnitude > 0, _usual(evidence, name, found) / 2, 0.0)
    statistical = 10 * np.maximum(s, least) + 4 * unit * found.magnitude
    if unit > np.finfo(evidence.case.dtype).eps:
        statistical = statistical + _NARROW * unit * np.max(found.magnitude, initial=0.0)
    wider = statistical * spread.unit / unit
    with np.errstate(invalid="ignore"):
        right = np.abs(spread.value - found.value) <= found.error + wider
        rounded = spread.wide <= 10 * spread.moved + 4 * unit * found.magnitude
    doubtful = statistical + found.error > told_apart(found.value, RESOLUTION[evidence.case.dtype])
    known = doubtful & right & rounded & ~found.kink
    return np.asarray(np.where(known, np.minimum(statistical, spread.wide + wider + found.error), statistical))


def _usual(evidence: Evidence, name: str, found: Estimate) -> float:
    """What s usually is in the tensor: its root mean square in a wider precision, its median under moves.

    A few moves may have left the branch of a layer that does not say where it has kinks.
    """
    s = evidence.spread[name]
    rounded = (found.magnitude > 0) & ~found.kink & np.isfinite(s.greatest)
    if not rounded.any():
        return 0.0
    return max(float(np.sqrt(np.mean(np.square(s.wide[rounded])))), float(np.median(s.moved[rounded])))
