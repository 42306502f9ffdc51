"""Logistic function."""

from __future__ import annotations

import math

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.sigmoid import Sigmoid


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


class SecondFactorDropped(Sigmoid):
    def backward(self, dy, cache):
        return dy * self.forward(cache)[0], {}


class TakesTheInputForTheOutput(Sigmoid):
    def backward(self, dy, cache):
        return dy * cache * (1 - cache), {}


class Halved(Sigmoid):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / 2, {}


class UpstreamOfTheNextUnit(Sigmoid):
    def backward(self, dy, cache):
        return super().backward(np.roll(dy, -1, axis=1), cache)


class TestLaws(ActivationLaws):
    layers = (Sigmoid(),)
    mistakes = (SecondFactorDropped(), TakesTheInputForTheOutput(), Halved(), UpstreamOfTheNextUnit())

    def value(self, layer, x):
        return sigma(x)

    def slope(self, layer, x):
        return sigma(x) * sigma(-x)


def test_has_no_kinks():
    assert Sigmoid().branches(np.zeros((1, 2))) is None
