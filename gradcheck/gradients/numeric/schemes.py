"""Difference schemes as rows of a table, with one evaluator.

D f(x) = part( Σₖ wₖ f(x + oₖ h) ) / h      offsets oₖ, weights wₖ; part is the real or the imaginary part

A real scheme of order p errs by truncation, C hᵖ, and by the noise ε of the forward, ε ‖w‖ / h. With C of the order of
1 at the scale of the argument the best relative step is u^(1/(p+1)), u the unit roundoff. The complex step subtracts
nothing: it has neither truncation nor cancellation, whatever h (Squire & Trapp 1998).
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Array = NDArray[Any]

#: The step of the complex scheme: small enough that h² vanishes beside 1, a power of two so that dividing is exact.
COMPLEX_STEP = 2.0**-100
#: A sum of squares between these has lost nothing to the ends of the floating numbers.
_SQUARES = (2.0**-800, 2.0**800)


class Scheme(Struct, frozen=True):
    """One row. `order` is the power of h in the truncation error; 0 for the complex step, which has none."""

    name: str
    offsets: tuple[complex, ...]
    weights: tuple[float, ...]
    order: int

    @property
    def gain(self) -> int:
        """What one extrapolation adds to the order: the error of a symmetric scheme has even powers of h alone."""
        return 2 if sum(self.offsets) == 0 else 1

    @property
    def is_complex(self) -> bool:
        """Whether the arguments are complex."""
        return self.order == 0

    def relative_step(self) -> float:
        """Step at an argument of size 1: u^(1/(p+1)) rounded to a power of two."""
        if self.order == 0:
            return COMPLEX_STEP
        return 2.0 ** round(math.log2(sys.float_info.epsilon) / (self.order + 1))

    def noise_gain(self) -> float:
        """‖w‖₂: how much independent noise of the evaluations grows, before it is divided by h."""
        return float(np.linalg.norm(self.weights))

    def combine(self, values: list[Array], step: Array | float) -> Array:
        """The derivative from evaluations at x + oₖ h, in the order of the offsets; of complex ones Im f will do."""
        if self.is_complex:
            result: Array = (values[0].imag if values[0].dtype.kind == "c" else values[0]) / step
            return result
        pairs = sorted(zip(self.offsets, self.weights, values, strict=True), key=lambda row: -abs(row[0]))
        return sum(weight * value for _, weight, value in pairs) / step  # type: ignore[return-value]


def scale_of(array: Array) -> float:
    """Root mean square of an array; 1 where all entries are 0. Squares neither overflow nor vanish."""
    total = float(np.vdot(array, array)) if array.dtype.char == "d" else 0.0
    if _SQUARES[0] < total < _SQUARES[1]:
        return math.sqrt(total / array.size)
    greatest = float(np.max(np.abs(array), initial=0.0))
    return greatest * float(np.sqrt(np.mean(np.square(array / greatest)))) if greatest else 1.0


def step_for(scheme: Scheme, array: Array) -> float:
    """The scheme's relative step at the array's own scale, a power of two; at scale 1 where all entries are 0.

    A complex step need only be tiny beside the array, so it does not grow with it.
    """
    scale = scale_of(array)
    if scheme.order == 0 and scale > 1:
        return COMPLEX_STEP
    return scheme.relative_step() * 2.0 ** round(math.log2(scale))


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("forward", (0, 1), (-1, 1), 1),
        Scheme("central", (-1, 1), (-1 / 2, 1 / 2), 2),
        Scheme("five_point", (-2, -1, 1, 2), (1 / 12, -2 / 3, 2 / 3, -1 / 12), 4),
        # (64 D(h/4) - 20 D(h/2) + D(h)) / 45 with D the central difference
        Scheme(
            "richardson", (-1, -0.5, -0.25, 0.25, 0.5, 1), (-1 / 90, 20 / 45, -128 / 45, 128 / 45, -20 / 45, 1 / 90), 6
        ),
        Scheme("complex", (1j,), (1,), 0),
    )
}

#: For entries on the border of the domain of a forward, where every step to the other side leaves it. Not offered by
#: name: beside no border a symmetric scheme of the same order is sharper.
ONE_SIDED = (
    Scheme("forward2", (0, 1, 2), (-3 / 2, 2, -1 / 2), 2),
    Scheme("backward2", (-2, -1, 0), (1 / 2, -2, 3 / 2), 2),
)
