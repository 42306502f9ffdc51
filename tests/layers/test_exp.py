"""Exponential function."""

from __future__ import annotations

import math

from activation_laws import ActivationLaws

from gradcheck.layers.exp import Exp


class OfAPower(Exp):
    def backward(self, dy, cache):
        return dy * cache / 2, {}


class WithoutItsValue(Exp):
    def backward(self, dy, cache):
        return dy, {}


class LessOne(Exp):
    def backward(self, dy, cache):
        return dy * (cache - 1), {}


class TestLaws(ActivationLaws):
    layers = (Exp(),)
    mistakes = (OfAPower(), WithoutItsValue(), LessOne())
    points = (-800.0, -50.0, -1.5, -1e-9, 0.0, 1e-9, 0.7, 20.1, 50.0, 700.0)

    def value(self, layer, x):
        return math.exp(x)

    def slope(self, layer, x):
        return math.exp(x)
