"""Whether a function of complex numbers is holomorphic, output by output, to the rounding of its values.

On a circle x + r e^{iθ} v a holomorphic function has no Fourier coefficients of negative order. The one of order -1,

    c₋₁ = 1/2π ∫ f(x + r e^{iθ} v) e^{iθ} dθ  =  r Σₑ vₑ ∂f/∂z̄ₑ  +  O(r³)

is half of what the complex step along v errs by, times r. As a mean over many points it has less rounding than one
value, and where the circle is not small beside x it shows a conjugate's share of the slope far below what a real
difference can see. A kink that the circle crosses is a jump there and fills all negative orders, falling like 1/k, and
a singularity nearby comes back from the high orders; c₋₁ of a smooth function stands alone. A shorter circle may meet
neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.schemes import scale_of

Array = NDArray[Any]
Forward = Callable[[Mapping[str, Array]], Sequence[Any]]
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Points on the upper half of a circle: f(z̄) is the conjugate of f(z), so the lower half is its mirror image.
_POINTS = 16
_ANGLES = np.pi * (np.arange(_POINTS) + 0.5) / _POINTS
#: Radii, as parts of every number.
_RADII = (2.0**-3, 2.0**-6, 2.0**-9, 2.0**-12)
#: The order of the slope, that of the conjugate's, and those in which a smooth function has nothing but rounding.
_SLOPE, _CONJUGATE, _HIGH = 1, -1, tuple(range(-15, -7))
#: c₋₁ counts where it is so many times the greatest of the high orders, and the rounding of a mean of exact values.
_ABOVE, _ROUNDING = 32, _UNIT / _POINTS
#: Greater shares are for real differences to see. Where they do not, the value is all rounding: 1 + tanh(-20 + iy) has
#: lost its real part, and has the right imaginary one.
_SMALL = 1e-2


class Circle(Struct, frozen=True):
    """One output on a circle; all arrays have its shape.

    slope      |c₁| / r
    conjugate  |c₋₁| / r
    rounding   what this may be of the rounding of exact values
    bar        what this may be of all rounding, of kinks and of singularities
    """

    slope: Array
    conjugate: Array
    rounding: Array
    bar: Array

    @property
    def suspect(self) -> Array:
        """Where the conjugate has a share of the slope, a small one."""
        return np.asarray((self.conjugate > self.bar) & (self.conjugate < _SMALL * self.slope))


def conjugate_share(forward: Forward, arrays: Mapping[str, Array], names: Sequence[str]) -> float:
    """The greatest |c₋₁ / c₁| of an output of a layer, along two directions of the named arrays; 0 if there is none.

    Outputs that have kinks on every circle cannot be told, and count as having none.
    """
    return max((_share(forward, arrays, direction) for direction in _directions(arrays, names)), default=0.0)


def _directions(arrays: Mapping[str, Array], names: Sequence[str]) -> Iterator[Mapping[str, Array]]:
    """Every number by itself, up or down at random; then the zeros, by the size of the numbers beside them."""
    rng = np.random.default_rng(len(names))
    signs = {name: rng.choice([-1.0, 1.0], arrays[name].shape) for name in names}
    yield {name: signs[name] * arrays[name] for name in names}
    zeros = {name: signs[name] * scale_of(arrays[name]) * (arrays[name] == 0) for name in names}
    if any(direction.any() for direction in zeros.values()):
        yield zeros


def _share(forward: Forward, arrays: Mapping[str, Array], direction: Mapping[str, Array]) -> float:
    """The share along one direction: that of an output that shows the same one on two circles, the longer the better.

    One that the shorter circle has too much rounding for is the same. A pole inside a circle shows another one.
    """
    longer: list[Circle] = []
    for radius in _RADII:
        try:
            with np.errstate(all="ignore"):
                circles = list(_on_circle(forward, arrays, direction, radius))
        except LayerFailure:  # the circle leaves the domain of the forward
            longer = []
            continue
        for circle, before in zip(circles, longer, strict=False):
            same = before.suspect & (np.abs(circle.conjugate - before.conjugate) <= before.conjugate / 2 + circle.bar)
            if same.any():
                return float(np.max(before.conjugate[same] / before.slope[same]))
        if all(np.all(circle.conjugate <= circle.rounding) for circle in circles):
            break
        longer = circles
    return 0.0


def _on_circle(
    forward: Forward, arrays: Mapping[str, Array], direction: Mapping[str, Array], radius: float
) -> Iterator[Circle]:
    """What the circle shows of every output."""
    values = []
    for angle in _ANGLES:
        step = radius * np.exp(1j * angle)
        outputs = forward({**arrays, **{name: arrays[name] + step * v for name, v in direction.items()}})
        values.append([np.asarray(y) for y in outputs])
    for output in zip(*values, strict=True):
        if output[0].dtype.kind == "c":
            yield _coefficients(np.stack(output), radius)


def _coefficients(values: Array, radius: float) -> Circle:
    phases = np.exp(-1j * np.outer((_SLOPE, _CONJUGATE, *_HIGH), _ANGLES)) / (_POINTS * radius)
    moves = values - values.real.mean(axis=0)  # it has no part in these orders, but in the rounding of their sums
    found = np.abs(np.tensordot(phases.real, moves.real, 1) - np.tensordot(phases.imag, moves.imag, 1))
    rounding = _ABOVE * _ROUNDING / radius * np.abs(values).max(axis=0)
    return Circle(found[0], found[1], rounding, np.fmax(_ABOVE * found[2:].max(axis=0), rounding))
