"""Square root of every entry."""

from __future__ import annotations

import math

import numpy as np
from activation_laws import ActivationLaws
from laws import run
from support import check as checked

from gradcheck.layers.linear import Linear
from gradcheck.layers.sqrt import Sqrt
from gradcheck.layers.square import Square


class TwoForgotten(Sqrt):
    def backward(self, dy, cache):
        return dy / cache, {}


class Inverted(Sqrt):
    def backward(self, dy, cache):
        return dy * 2 * cache, {}


class DividedByTheInput(Sqrt):
    def backward(self, dy, cache):
        return dy / (2 * cache**2), {}


class TestLaws(ActivationLaws):
    layers = (Sqrt(),)
    mistakes = (TwoForgotten(), Inverted(), DividedByTheInput())
    points = (0.0, 1e-12, 1e-9, 0.7, 1.0, 20.1, 50.0, 800.0, 1e6, 1e9)
    positive = True

    def value(self, layer, x):
        return math.sqrt(x)

    def slope(self, layer, x):
        return 0.5 / math.sqrt(x) if x else 0.0


def test_zero_is_a_border_with_a_finite_gradient():
    assert Sqrt().branches(np.array([[0.0, 4.0]])).tolist() == [[-1, 1]]
    assert run(Sqrt(), np.array([[0.0, 4.0]]), dy=(np.ones((1, 2)),)).dx[0].tolist() == [[0, 0.25]]


def test_a_square_of_zero_is_zero_under_a_complex_step():
    """(ih)² is −h², which is no negative number."""
    report = checked(Square(), Sqrt(), Linear(2), x=np.array([[0.0, 1.0], [2.0, -1.0]]))
    assert (report.verdict, report.counts.inconclusive) == ("pass", 0)


def test_a_negative_number_has_no_root_not_even_a_complex_one():
    for x in (np.array([-1.0]), np.array([-1.0 + 1e-30j])):
        assert np.isnan(Sqrt().forward(x)[0]).all()
