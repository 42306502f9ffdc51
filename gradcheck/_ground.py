"""What is known of a case before any difference is taken."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from gradcheck.gradients.analytic import Analytic
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.spec.case import Case

#: How many times the smallest number that there is a rounding error at the bottom of a precision may grow on its way.
_UNDERFLOW = 2.0**20


class Ground(Struct, frozen=True):
    """A case, its network at its point in float64, and one backward pass in the case's precision."""

    case: Case
    stage: Stage
    analytic: Analytic

    @property
    def unit(self) -> float:
        """Unit roundoff u of the analytic side: of the narrowest precision that a backward has answered in."""
        return self.analytic.unit

    @property
    def underflow(self) -> float:
        """Below this a gradient may have vanished on its way through the analytic side's precision."""
        return _UNDERFLOW * float(np.finfo(self.case.dtype).smallest_subnormal)
