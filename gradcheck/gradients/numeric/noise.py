"""The noise of the forward, measured.

Along a line of equally spaced, nearly equal points a smooth function is a polynomial; what is left in its higher
differences is noise: σₖ² = (k!)² / (2k)! · mean((Δᵏ f)²) (Moré & Wild, Estimating computational noise, 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric.sweep import Stage

Array = NDArray[Any]
#: What every number is multiplied with to get points along a line.
FACTORS = tuple(1 + k * 2.0**-44 for k in range(8))
_ORDERS = (2, 3, 4, 5)


def forward_noise(stage: Stage) -> Array:
    """Standard deviation of each observable's rounding error: (columns,).

    At least half a unit in the last place of the observable itself, for a forward that happens to round alike.
    """
    return noise_along([_observables_along(stage, factor) for factor in FACTORS])


def noise_along(samples: Sequence[Array]) -> Array:
    """Standard deviation of the rounding errors in values at equally spaced, nearly equal points; of their shape."""
    values = np.stack(samples)
    found = np.zeros(values.shape[1:])
    for order in _ORDERS:
        scale = factorial(order) ** 2 / factorial(2 * order)
        differences = np.diff(values, n=order, axis=0)
        found = np.maximum(found, np.sqrt(scale * np.mean(differences**2, axis=0)))
    unit = np.finfo(np.float64).eps / 2
    result: Array = np.maximum(found, unit * np.abs(values[0]))
    return result


def _observables_along(stage: Stage, factor: float) -> Array:
    moving = {*stage.point.parameters, *stage.point.inputs}
    arrays = {n: a * factor if n in moving and a.dtype.kind == "f" else a for n, a in stage.point.arrays.items()}
    moved = Stage(stage.network, stage.point.with_arrays(arrays), stage.coupled, stage.observables)
    values: Array = moved.observables.evaluate(moved.copies(1), {}, moved.coupled)[0]
    return values
