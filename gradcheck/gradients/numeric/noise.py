"""The noise of the forward, measured.

Along a line of equally spaced, nearly equal points a smooth function is a polynomial; what is left in its higher
differences is noise: σₖ² = (k!)² / (2k)! · mean((Δᵏ f)²) (Moré & Wild, Estimating computational noise, 2011).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric.sweep import Stage

Array = NDArray[Any]
_POINTS = range(8)
#: Spacings of the points, relative to every number, and the orders of differences in which a smooth function has
#: vanished there. A forward that computes in float32 is a staircase: flat at the small spacing, rough at the great one.
_LINES = ((2.0**-44, (2, 3, 4, 5)), (2.0**-26, (3, 4, 5)))


def forward_noise(stage: Stage) -> Array:
    """Standard deviation of each observable's rounding error: (columns,)."""
    return measured_noise(partial(_observables_along, stage))


def measured_noise(along: Callable[[float], Array]) -> Array:
    """Standard deviation of the rounding error of values; of their shape.

    along  what every number is multiplied with -> the values there

    At least half a unit in the last place of the values, for a forward that happens to round alike.
    """
    found: Array = np.finfo(np.float64).eps / 2 * np.abs(along(1.0))
    for spacing, orders in _LINES:
        values = np.stack([along(1 + k * spacing) for k in _POINTS])
        for order in orders:
            scale = factorial(order) ** 2 / factorial(2 * order)
            differences = np.diff(values, n=order, axis=0)
            found = np.maximum(found, np.sqrt(scale * np.mean(differences**2, axis=0)))
    return found


def _observables_along(stage: Stage, factor: float) -> Array:
    moving = {*stage.point.parameters, *stage.point.inputs}
    arrays = {n: a * factor if n in moving and a.dtype.kind == "f" else a for n, a in stage.point.arrays.items()}
    moved = Stage(stage.network, stage.point.with_arrays(arrays), stage.coupled, stage.observables)
    values: Array = moved.observables.evaluate(moved.copies(1), {}, moved.coupled)[0]
    return values
