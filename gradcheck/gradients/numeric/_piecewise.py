"""What one output contributes to a vector-Jacobian product, where it may have a kink along the entry that moves.

The one-sided slopes of second order lie on both sides of it; where there is no kink, the slope is that of a complex
step, or of differences that agree with each other. A black box does not say whether it has one: its gaps between
one-sided slopes are looked at with shorter steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.gradients.numeric.ladder import RATIO, Plateau, Rungs, plateau

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Of the difference between slopes of first and second order, what the second order may still be off: h at unit scale,
#: with room for steep higher derivatives.
_LEFT_OVER = 1e-3
#: Where nothing is known, a contribution may be any number.
UNKNOWN = {"low": -np.inf, "high": np.inf, "bar": 0.0, "size": 0.0, "kink": 0.0}


def piecewise(
    dy: Array, y: Array, sampled: list[Array], h: float, deviation: Array, stepped: tuple[Array, Array] | None,
    left_piece: Array | None, shorter: Shorter | None,
) -> dict[str, Array]:  # fmt: skip
    """Contributions of outputs that may have a kink: between the one-sided slopes where they do.

    One-sided slopes of second order, (4 y(h) - 3 y(0) - y(2h)) / 2h; first minus second order is about f″h/2, and what
    is left about h times that.
    """
    below2, below, above, above2 = sampled
    left, right = (y - below) / h, (above - y) / h
    noise = np.maximum(8 * _UNIT * np.fmax(np.abs(above), np.abs(below)), 6 * deviation) / h
    kink = _kinks(left, right, (above2 - 2 * y + below2) / (2 * h), noise, left_piece)
    outer = (below - below2) / h, (above2 - above) / h
    if shorter is not None and kink.any():
        kink &= _stays(left, right, outer, noise, shorter)
    left2, right2 = 2 * left - (y - below2) / (2 * h), 2 * right - (above2 - y) / (2 * h)
    left_over = _LEFT_OVER * np.nansum([np.abs(left2 - left), np.abs(right2 - right)], axis=0) + 4 * noise
    if stepped is None:
        central, wider = (above - below) / (2 * h), (above2 - below2) / (4 * h)
        both = np.abs(central - wider) + noise  # not finite where one side leaves the domain: then the other has to do
        one = np.where(np.isfinite(right2), right2, left2)
        slope, error = np.where(np.isfinite(both), central, one), np.where(np.isfinite(both), both, left_over)
        if shorter is not None:
            slope, error = _settled(slope, error, np.isfinite(both) & ~kink, noise, shorter)
    else:
        slope, error = stepped
    smooth = smooth_part(dy, slope, error)
    ends = [dy * left2, dy * right2, *([smooth["low"]] if shorter is not None and stepped is not None else [])]
    found = {
        "low": np.where(kink, np.min(ends, axis=0), smooth["low"]),
        "high": np.where(kink, np.max(ends, axis=0), smooth["high"]),
        "bar": np.where(kink, np.abs(dy) * left_over, smooth["bar"]),
        "size": np.where(kink, np.max(np.abs(ends), axis=0), smooth["size"]),
        "kink": (kink & (dy != 0)).astype(float),
    }
    return {key: np.where(np.isfinite(slope), values, UNKNOWN[key]) for key, values in found.items()}


def smooth_part(dy: Array, slope: Array, error: Array) -> dict[str, Array]:
    """Contributions of outputs that have one slope, `error` off at most: (K, N, ...)."""
    product = dy * slope
    return {
        "low": product,
        "high": product,
        "bar": np.abs(dy) * error,
        "size": np.abs(product),
        "kink": np.zeros_like(product),
    }


class Shorter(Struct, frozen=True):
    """One output of a black box at shorter steps.

    y       its values at the point
    usual   the usual step
    at      step -> all outputs
    output  which of them it is
    reach   the greatest number that a step is added to
    ladder  the steps of a ladder
    """

    y: Array
    usual: float
    at: Callable[[float], Sequence[Array]]
    output: int
    reach: float
    ladder: Array

    def slopes(self) -> Iterator[tuple[float, Array, Array]]:
        """At two shorter steps: how many times the noise of the usual one counts; the slopes below and above."""
        for ratio in (RATIO, RATIO**2):
            h = self.usual / ratio
            yield ratio, (self.y - self.at(-h)[self.output]) / h, (self.at(h)[self.output] - self.y) / h

    def plateau(self, noise: Array) -> Plateau:
        """Where central differences settle, in flat order."""
        slopes = [(self.at(h)[self.output] - self.at(-h)[self.output]) / (2 * h) for h in self.ladder]
        values = np.stack([slope.reshape(-1) for slope in slopes])
        ratios = self.usual / self.ladder[:, None]
        rounding = 4 * _UNIT * self.reach / self.ladder[:, None] * np.abs(values)
        bars = ratios * np.broadcast_to(noise, slopes[0].shape).reshape(1, -1) + rounding
        nothing = np.zeros(values.shape, dtype=bool)
        return plateau(Rungs(self.ladder, values, bars, nothing, np.zeros(values.shape[1]), {}), 2)


def _stays(left: Array, right: Array, outer: tuple[Array, Array], noise: Array, shorter: Shorter) -> Array:
    """Which gaps between one-sided slopes are those of a kink at the point, or of one within the step.

    Beside a kink at the point the slopes stay what they are at shorter steps; one within the step lies between the
    slopes of the two pieces farther out. Neither holds for an oscillation, nor for values that jump by their rounding.
    """
    gap = np.abs(right - left)
    low, high = np.fmin(*outer), np.fmax(*outer)
    same, between = np.full(gap.shape, True), high - low >= gap / 2
    for ratio, below, above in shorter.slopes():
        slack = gap / 4 + ratio * noise
        same &= (np.abs(below - left) <= slack) & (np.abs(above - right) <= slack)
        between &= (np.fmin(below, above) >= low - slack) & (np.fmax(below, above) <= high + slack)
    return np.asarray(same | between)


def _settled(slope: Array, error: Array, asked: Array, noise: Array, shorter: Shorter) -> tuple[Array, Array]:
    """The slopes and errors of a central difference; of a ladder of steps where shorter ones contradict it.

    NaN where that does not settle either.
    """
    apart = np.zeros(slope.shape, dtype=bool)
    for ratio, below, above in shorter.slopes():
        apart |= asked & (np.abs((below + above) / 2 - slope) > 2 * error + ratio * noise)
    if not apart.any():
        return slope, error
    found = shorter.plateau(noise)
    value = np.where(found.settled, found.value, np.nan).reshape(slope.shape)
    bar = np.where(found.settled, found.error, 0.0).reshape(slope.shape)
    return np.where(apart, value, slope), np.where(apart, bar, error)


def _kinks(left: Array, right: Array, wide_gap: Array, noise: Array, left_piece: Array | None) -> Array:
    """Which outputs have a kink; for a layer that does not say: a smooth gap shrinks with h, a kink's gap stays."""
    gap = np.abs(right - left)
    if left_piece is None:
        size = np.maximum(np.abs(left), np.abs(right))
        return np.asarray((gap > 0.75 * np.abs(wide_gap)) & (gap > 1e-3 * size + 64 * noise))
    where = left_piece.any(axis=1) if gap.ndim == 1 else left_piece.reshape(*left_piece.shape, *[1] * (gap.ndim - 2))
    return np.asarray((gap > 8 * noise) & where)
