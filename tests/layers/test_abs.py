"""Absolute value."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.abs import Abs


class SignForgotten(Abs):
    def backward(self, dy, cache):
        return dy, {}


class SignOfTheUpstream(Abs):
    def backward(self, dy, cache):
        return np.sign(dy) * cache, {}


class OtherSign(Abs):
    def backward(self, dy, cache):
        return -dy * np.sign(cache), {}


class TestLaws(ActivationLaws):
    layers = (Abs(),)
    mistakes = (SignForgotten(), SignOfTheUpstream(), OtherSign())

    def value(self, layer, x):
        return abs(x)

    def slope(self, layer, x):
        return float(np.sign(x))


def test_branches_name_the_side_of_zero():
    assert Abs().branches(np.array([[-1.0, 0.0, 2.0]])).tolist() == [[0, -1, 1]]
