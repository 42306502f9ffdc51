"""Self-regularised non-monotonic activation."""

from __future__ import annotations

import math

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.mish import Mish
from gradcheck.maths import sigmoid, softplus, tanh_slope


class ProductRuleForgotten(Mish):
    def backward(self, dy, cache):
        return dy * np.tanh(softplus(cache)), {}


class ChainRuleForgotten(Mish):
    def backward(self, dy, cache):
        s = softplus(cache)
        return dy * (np.tanh(s) + cache * tanh_slope(s)), {}


class SlopeOfTanhForgotten(Mish):
    def backward(self, dy, cache):
        return dy * (np.tanh(softplus(cache)) + cache * sigmoid(cache)), {}


class TestLaws(ActivationLaws):
    layers = (Mish(),)
    mistakes = (ProductRuleForgotten(), ChainRuleForgotten(), SlopeOfTanhForgotten())
    points = (-100.0, -50.0, -20.5, -1.5, -1e-9, 0.0, 1e-9, 0.7, 19.9, 800.0)
    rtol = 1e-13

    def value(self, layer, x):
        return x * math.tanh(plus(x))

    def slope(self, layer, x):
        s = plus(x)
        inner = 4 * math.exp(-2 * s) / (1 + math.exp(-2 * s)) ** 2
        return math.tanh(s) + x * inner * math.exp(x - s)


def plus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
