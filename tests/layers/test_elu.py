"""Exponential linear unit."""

from __future__ import annotations

import math

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.elu import Elu


class ValueInsteadOfSlope(Elu):
    def backward(self, dy, cache):
        return np.where(cache > 0, dy, self.alpha * np.expm1(cache) * dy), {}


class ExponentialOnBothSides(Elu):
    def backward(self, dy, cache):
        return self.alpha * np.exp(cache) * dy, {}


class NegativeSideDropped(Elu):
    def backward(self, dy, cache):
        return np.where(cache > 0, dy, 0), {}


class TestLaws(ActivationLaws):
    layers = (Elu(), Elu(alpha=0.4))
    mistakes = (ValueInsteadOfSlope(), ExponentialOnBothSides(), NegativeSideDropped())

    def value(self, layer, x):
        return x if x > 0 else layer.alpha * math.expm1(x)

    def slope(self, layer, x):
        return 1.0 if x > 0 else layer.alpha * math.exp(x)


def test_branches_have_a_border_where_the_slopes_differ():
    x = np.array([[-1.0, 0.0, 2.0]])
    assert Elu(alpha=0.4).branches(x).tolist() == [[0, -1, 1]]
    assert Elu(alpha=1.0).branches(x).tolist() == [[0, 0, 1]]
