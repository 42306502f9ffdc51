"""What softmax and log_softmax have in common: an axis, a shift that changes nothing, logits of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import laws
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear

H = 1e-30


class SoftmaxLaws:
    """Subclass as `TestLaws`."""

    kind: ClassVar[type[Layer]]
    mistakes: ClassVar[tuple[Layer, ...]]

    def along(self, row: list[float], dy: list[float]) -> tuple[list[float], list[float]]:
        """y and dx of one row, one scalar at a time."""
        raise NotImplementedError

    def reference(self, axis: int) -> Callable[..., Any]:
        def loop(x, dy):
            x, dy = np.moveaxis(x, axis, -1), np.moveaxis(dy, axis, -1)
            y, dx = np.empty(x.shape), np.empty(x.shape)
            for place in np.ndindex(*x.shape[:-1]):
                y[place], dx[place] = self.along(x[place].tolist(), dy[place].tolist())
            return np.moveaxis(y, -1, axis), np.moveaxis(dx, -1, axis), {}

        return loop

    def test_laws(self):
        laws.hold(self.kind(), laws.normal(3, 4))
        laws.hold(self.kind(dim=1), laws.normal(2, 3, 2))

    @pytest.mark.parametrize("axis", [1, 2, -1, -2])
    def test_is_the_obvious_loop(self, axis):
        laws.assert_matches_reference(self.kind(axis), self.reference(axis), laws.normal(2, 3, 4))

    @laws.few
    @given(st.integers(0, 999), st.floats(-100, 100))
    def test_a_shift_of_a_row_changes_nothing_so_its_gradient_sums_to_zero(self, seed, shift):
        x = laws.normal(3, 4, seed=seed)
        outcome, shifted = laws.run(self.kind(), x), laws.run(self.kind(), x + shift)
        np.testing.assert_allclose(shifted.y[0], outcome.y[0], rtol=1e-13)
        np.testing.assert_allclose(outcome.dx[0].sum(axis=1), 0, atol=1e-14)

    @pytest.mark.parametrize("size", [50.0, 800.0])
    def test_any_size_of_logits_is_finite_and_differentiated(self, size):
        x = np.array([[size, 0.0, -size], [-size, -size, -size], [size, size, 1.0]])
        for k in range(3):
            dy = np.eye(3)[[k, k, k]]
            outcome = laws.run(self.kind(), x, dy=(dy,))
            assert np.isfinite(outcome.y[0]).all()
            for j in range(3):
                stepped, _ = self.kind().forward(x + 1j * H * np.eye(3)[j])
                np.testing.assert_allclose((dy * stepped.imag).sum(axis=1) / H, outcome.dx[0][:, j], atol=1e-15)

    @pytest.mark.parametrize("axis", [0, 2, -2, 5])
    def test_the_batch_axis_and_missing_axes_are_refused(self, axis):
        message = f"needs one of the axes 1, -1 for an input (32, 3), got axis {axis}"
        laws.assert_refuses(self.kind(axis), (32, 3), message=message)

    def test_a_batch_of_scalars_is_refused(self):
        laws.assert_refuses(self.kind(), (32,), message="needs an input with an axis behind the batch axis, got (32,)")

    def test_the_checker_passes_it(self):
        laws.assert_passes(check(Linear(4), self.kind(), x=laws.normal(3, 2), trusted=True, checks=ALL))
        laws.assert_passes(check(self.kind(dim=1), x=laws.normal(2, 3, 2), trusted=True, checks=ALL))

    def test_planted_mistakes_are_caught(self):
        """By the entries of the input alone: all that the layer hands back ends there."""
        x = laws.normal(3, 2)
        entries = tuple(("input", index) for index in np.ndindex(x.shape))
        for layer in self.mistakes:
            net = (Linear(4, bias=False), layer)
            laws.assert_caught(check(*net, x=x, checks=["gradient"], trusted=True, entries=entries), layer)
