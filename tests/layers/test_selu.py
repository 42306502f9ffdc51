"""Scaled exponential linear unit."""

from __future__ import annotations

import math

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.selu import Selu

ALPHA, LAMBDA = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


class ScaleDropped(Selu):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / LAMBDA, {}


class ScaleDroppedForNegativeInputs(Selu):
    def backward(self, dy, cache):
        return np.where(cache > 0, LAMBDA * dy, ALPHA * np.exp(cache) * dy), {}


class SidesSwapped(Selu):
    def backward(self, dy, cache):
        return super().backward(dy, -cache)


class TestLaws(ActivationLaws):
    layers = (Selu(),)
    mistakes = (ScaleDropped(), ScaleDroppedForNegativeInputs(), SidesSwapped())

    def value(self, layer, x):
        return LAMBDA * (x if x > 0 else ALPHA * math.expm1(x))

    def slope(self, layer, x):
        return LAMBDA * (1.0 if x > 0 else ALPHA * math.exp(x))


def test_branches_name_the_side_of_zero():
    assert Selu().branches(np.array([[-1.0, 0.0, 2.0]])).tolist() == [[0, -1, 1]]
