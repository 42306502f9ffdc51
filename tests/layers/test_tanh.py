"""Hyperbolic tangent."""

from __future__ import annotations

import math

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.tanh import Tanh


class DerivativeForgotten(Tanh):
    def backward(self, dy, cache):
        return dy, {}


class OutputNotSquared(Tanh):
    def backward(self, dy, cache):
        return dy * (1 - np.tanh(cache)), {}


class InputSquared(Tanh):
    def backward(self, dy, cache):
        return dy * (1 - cache**2), {}


class Negated(Tanh):
    def backward(self, dy, cache):
        return -super().backward(dy, cache)[0], {}


class UpstreamOfTheSampleBefore(Tanh):
    def backward(self, dy, cache):
        return super().backward(np.roll(dy, 1, axis=0), cache)


class TestLaws(ActivationLaws):
    layers = (Tanh(),)
    mistakes = (DerivativeForgotten(), OutputNotSquared(), InputSquared(), Negated(), UpstreamOfTheSampleBefore())

    def value(self, layer, x):
        return math.tanh(x)

    def slope(self, layer, x):
        e = math.exp(-2 * abs(x))
        return 4 * e / (1 + e) ** 2


def test_has_no_kinks():
    assert Tanh().branches(np.zeros((1, 2))) is None
