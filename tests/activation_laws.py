"""What every elementwise layer must obey.

The test file of a layer subclasses `ActivationLaws` and says what is its own: a scalar formula and its derivative,
PyTorch's name for it, and mistakes to be found.
"""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.softplus import Softplus

POINTS = [-800.0, -50.0, -20.5, -1.5, -1e-9, 0.0, 1e-9, 0.7, 19.9, 20.1, 50.0, 800.0]
H = 1e-30


class ActivationLaws:
    """Subclass as `TestLaws`."""

    #: The layer, once with every option that changes what it computes.
    layers: ClassVar[tuple[Layer, ...]]
    #: Layers whose class overrides `backward` alone, wrongly.
    mistakes: ClassVar[tuple[Layer, ...]]
    #: Where the formula holds: some numbers, and whether all that is drawn must be positive.
    points: ClassVar[list[float]] = POINTS
    positive: ClassVar[bool] = False
    #: How closely the scalar formula is met: e⁻ˣ of a large x loses x units of rounding.
    rtol: ClassVar[float] = 1e-14

    def normal(self, *shape: int) -> Any:
        """Numbers that the layer takes."""
        x = laws.normal(*shape)
        return np.abs(x) + 0.1 if self.positive else x

    def net(self, layer: Layer) -> tuple[Layer, ...]:
        """The layer behind one with parameters."""
        return (Linear(3), *([Softplus()] if self.positive else []), layer)

    def value(self, layer: Any, x: float) -> float:
        """y at one scalar."""
        raise NotImplementedError

    def slope(self, layer: Any, x: float) -> float:
        """dy/dx at one scalar; at a kink, what backward says there."""
        raise NotImplementedError

    def test_laws(self):
        for layer in self.layers:
            laws.hold(layer, self.normal(2, 3))

    def test_is_its_scalar_formula_at_any_size(self):
        x = np.array(self.points).reshape(2, -1)
        for layer in self.layers:
            outcome = laws.run(layer, x, dy=(np.full(x.shape, -1.5),))
            for index in np.ndindex(*x.shape):
                at = f"at x = {x[index]}"
                value, slope = self.value(layer, float(x[index])), self.slope(layer, float(x[index]))
                np.testing.assert_allclose(outcome.y[0][index], value, rtol=self.rtol, err_msg=at)
                np.testing.assert_allclose(outcome.dx[0][index], -1.5 * slope, rtol=self.rtol, err_msg=at)

    @laws.few
    @given(st.lists(st.floats(1e-3, 1) | st.integers(0, 11), min_size=1, max_size=8))
    def test_a_complex_step_follows_backward_at_any_size(self, drawn):
        """One of the points, or a number between the least and the greatest of them."""
        points, low, high = self.points, min(self.points), max(self.points)
        x = np.array([points[k % len(points)] if isinstance(k, int) else low + k * (high - low) for k in drawn])
        for layer in self.layers:
            outcome = laws.run(layer, x, dy=(np.ones_like(x),))
            stepped, _ = layer.forward(x + 1j * H)
            np.testing.assert_allclose(stepped.real, outcome.y[0], rtol=1e-14, atol=1e-14)
            np.testing.assert_allclose(stepped.imag / H, outcome.dx[0], rtol=10 * self.rtol, atol=1e-280)

    def test_nan_is_not_hidden(self):
        x = np.array([[np.nan]])
        for layer in self.layers:
            assert np.isnan(layer.forward(x)[0]).all()

    def test_the_checker_passes_it(self):
        for layer in self.layers:
            laws.assert_passes(check(*self.net(layer), x=laws.normal(3, 2), trusted=True, checks=ALL))

    def test_planted_mistakes_are_caught(self):
        """By the entries of the input alone: all that the layer hands back ends there."""
        x = laws.normal(3, 2)
        entries = tuple(("input", index) for index in np.ndindex(x.shape))
        for layer in self.mistakes:
            report = check(*self.net(layer), x=x, checks=["gradient"], trusted=True, entries=entries)
            laws.assert_caught(report, layer)
