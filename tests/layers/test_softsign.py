"""Ratio of a number and one more than its size."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.softsign import Softsign


class NotSquared(Softsign):
    def backward(self, dy, cache):
        return dy / (1 + np.abs(cache)), {}


class WithoutTheSize(Softsign):
    def backward(self, dy, cache):
        return dy / (1 + cache) ** 2, {}


class SignTwice(Softsign):
    def backward(self, dy, cache):
        return dy * np.sign(cache) / (1 + np.abs(cache)) ** 2, {}


class TestLaws(ActivationLaws):
    layers = (Softsign(),)
    mistakes = (NotSquared(), WithoutTheSize(), SignTwice())

    def value(self, layer, x):
        return x / (1 + abs(x))

    def slope(self, layer, x):
        return 1 / (1 + abs(x)) ** 2
