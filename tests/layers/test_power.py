"""Power of every entry."""

from __future__ import annotations

import numpy as np
import pytest
from activation_laws import ActivationLaws
from laws import assert_matches_torch, backward_is_the_derivative, normal, run

from gradcheck.layers.power import Power


class ExponentForgotten(Power):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / self.exponent, {}


class ExponentNotLowered(Power):
    def backward(self, dy, cache):
        return dy * self.exponent * cache**self.exponent, {}


class LoweredByTwo(Power):
    def backward(self, dy, cache):
        return dy * self.exponent * cache ** (self.exponent - 2), {}


class TestLaws(ActivationLaws):
    layers = (Power(2.5), Power(3), Power(-1.5), Power(0.3))
    mistakes = (ExponentForgotten(3), ExponentNotLowered(2.5), LoweredByTwo(1.5))
    points = (1e-9, 1e-3, 0.7, 1.0, 1.5, 19.9, 50.0, 800.0)
    positive = True

    def value(self, layer, x):
        return x**layer.exponent

    def slope(self, layer, x):
        return layer.exponent * x ** (layer.exponent - 1)

    def test_nan_is_not_hidden(self):
        assert np.isnan(Power(2.5).forward(np.array([np.nan]))[0]).all()


@pytest.mark.parametrize("exponent", [1, 2, 3, 150, -1, -2])
def test_whole_powers_of_negative_numbers_are_differentiated(exponent):
    backward_is_the_derivative(Power(exponent), normal(2, 3))


def test_other_powers_of_negative_numbers_are_nan():
    assert np.isnan(Power(0.5).forward(np.array([-1.0, -1.0 + 1e-30j]))[0]).all()


@pytest.mark.parametrize(
    ("exponent", "value", "slope", "branch"),
    [(0.5, 0, 0, -1), (1.5, 0, 0, -1), (1, 0, 1, 0), (2, 0, 0, 0), (0, 1, 0, 0), (-1, np.inf, 0, 0)],
)
def test_zero_has_a_finite_gradient_which_a_complex_step_is_told(exponent, value, slope, branch):
    layer, x = Power(exponent), np.zeros((1, 1))
    outcome = run(layer, x, dy=(np.ones((1, 1)),))
    assert (outcome.y[0].item(), outcome.dx[0].item(), layer.branches(x).item()) == (value, slope, branch)
    assert layer.forward(x + 1e-30j)[0].imag == 1e-30 * slope


@pytest.mark.torch
def test_is_pytorchs_for_negative_numbers():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert_matches_torch(Power(3), lambda x: torch.pow(x, 3), np.array([[-800.0, -1.5, 0.0, 2.0]]))
