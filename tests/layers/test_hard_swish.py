"""Sigmoid-weighted linear unit made of a parabola and two lines."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.hard_swish import HardSwish


class ProductRuleForgotten(HardSwish):
    def backward(self, dy, cache):
        return dy * np.clip((cache + 3) / 6, 0, 1), {}


class NotHalved(HardSwish):
    def backward(self, dy, cache):
        return dy * np.where(cache <= -3, 0, np.where(cache < 3, cache / 6 + 0.5, 1)), {}


class ParabolaEverywhere(HardSwish):
    def backward(self, dy, cache):
        return dy * np.where(cache < 1, cache / 3 + 0.5, 2), {}


class TestLaws(ActivationLaws):
    layers = (HardSwish(),)
    mistakes = (ProductRuleForgotten(), NotHalved(), ParabolaEverywhere())

    def value(self, layer, x):
        return x * min(max(x + 3, 0.0), 6.0) / 6

    def slope(self, layer, x):
        return 0.0 if x <= -3 else 1.0 if x >= 3 else x / 3 + 0.5


def test_branches_have_borders_at_three():
    assert HardSwish().branches(np.array([[-4.0, -3.0, 0.0, 3.0, 4.0]])).tolist() == [[0, -1, 1, -1, 2]]
