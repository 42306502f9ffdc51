"""Logistic function made of straight lines."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.hard_sigmoid import HardSigmoid


class NotDivided(HardSigmoid):
    def backward(self, dy, cache):
        return 6 * super().backward(dy, cache)[0], {}


class SlopeOfTheSmoothOne(HardSigmoid):
    def backward(self, dy, cache):
        y = 1 / (1 + np.exp(-cache))
        return dy * y * (1 - y), {}


class FlatWhereItIsNot(HardSigmoid):
    def backward(self, dy, cache):
        return np.where(np.abs(cache) < 0.5, 0, dy / 6), {}


class TestLaws(ActivationLaws):
    layers = (HardSigmoid(),)
    mistakes = (NotDivided(), SlopeOfTheSmoothOne(), FlatWhereItIsNot())

    def value(self, layer, x):
        return min(max((x + 3) / 6, 0.0), 1.0)

    def slope(self, layer, x):
        return 1 / 6 if -3 < x < 3 else 0.0


def test_branches_have_borders_at_three():
    assert HardSigmoid().branches(np.array([[-4.0, -3.0, 0.0, 3.0, 4.0]])).tolist() == [[0, -1, 1, -1, 2]]
