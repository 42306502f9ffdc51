"""Straight line between two bounds."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws
from laws import assert_refuses

from gradcheck.layers.hard_tanh import HardTanh


class NeverFlat(HardTanh):
    def backward(self, dy, cache):
        return dy, {}


class FlatBelowOnly(HardTanh):
    def backward(self, dy, cache):
        return np.where(cache < self.min_val, 0, dy), {}


class FlatInside(HardTanh):
    def backward(self, dy, cache):
        return dy - super().backward(dy, cache)[0], {}


class TestLaws(ActivationLaws):
    layers = (HardTanh(), HardTanh(min_val=-0.2, max_val=0.7))
    mistakes = (NeverFlat(-0.3, 0.3), FlatBelowOnly(-0.3, 0.3), FlatInside())

    def value(self, layer, x):
        return min(max(x, layer.min_val), layer.max_val)

    def slope(self, layer, x):
        return 1.0 if layer.min_val < x < layer.max_val else 0.0


def test_branches_have_borders_at_the_bounds():
    assert HardTanh(0, 2).branches(np.array([[-1.0, 0.0, 1.0, 2.0, 3.0]])).tolist() == [[0, -1, 1, -1, 2]]


def test_bounds_out_of_order_are_refused():
    assert_refuses(HardTanh(1, -1), (2, 3), message="needs min_val below max_val, got 1 and -1")
