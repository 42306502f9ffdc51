"""The rounding of the analytic side, as it enters the bar of every entry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.evidence import Evidence
from gradcheck.gradients.numeric.estimate import Estimate

Array = NDArray[Any]


def analytic_error(evidence: Evidence, name: str, found: Estimate) -> Array:
    """Rounding of the analytic side: 10 s + 4 u Σ|gᵢ|, s at least half of what is usual; nothing where Σ|gᵢ| = 0."""
    s = np.nan_to_num(evidence.rounding(name), nan=0.0, posinf=0.0)
    least = np.where(found.magnitude > 0, _usual(evidence, name, found) / 2, 0.0)
    return np.asarray(10 * np.maximum(s, least) + 4 * evidence.unit * found.magnitude)


def _usual(evidence: Evidence, name: str, found: Estimate) -> float:
    """What s usually is in the tensor: its root mean square in a wider precision, its median under moves.

    A few moves may have left the branch of a layer that does not say where it has kinks.
    """
    s = evidence.spread[name]
    rounded = (found.magnitude > 0) & ~found.kink & np.isfinite(s.greatest)
    if not rounded.any():
        return 0.0
    return max(float(np.sqrt(np.mean(np.square(s.wide[rounded])))), float(np.median(s.moved[rounded])))
