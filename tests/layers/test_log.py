"""Natural logarithm."""

from __future__ import annotations

import math

import numpy as np
from activation_laws import ActivationLaws
from laws import run

from gradcheck.layers.log import Log


class OfBaseTwo(Log):
    def backward(self, dy, cache):
        return dy / (cache * math.log(2)), {}


class TakesTheOutput(Log):
    def backward(self, dy, cache):
        return dy / np.log(cache), {}


class Squared(Log):
    def backward(self, dy, cache):
        return dy / cache**2, {}


class TestLaws(ActivationLaws):
    layers = (Log(),)
    mistakes = (OfBaseTwo(), TakesTheOutput(), Squared())
    points = (1e-12, 1e-10, 1e-9, 0.7, 1.0, 20.1, 50.0, 800.0, 1e6, 1e9)
    positive = True

    def value(self, layer, x):
        return math.log(x)

    def slope(self, layer, x):
        return 1 / x


def test_outside_its_domain_it_is_not_finite_and_has_the_gradient_zero():
    x = np.array([[0.0, -1.0, 2.0]])
    y, _ = Log().forward(x)
    np.testing.assert_array_equal(y, [[-np.inf, np.nan, math.log(2)]])
    assert np.isnan(Log().forward(x - 1e-30j)[0][0, 1])
    assert run(Log(), x, dy=(np.ones((1, 3)),)).dx[0].tolist() == [[0, 0, 0.5]]
