"""Square of every entry."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.square import Square


class TwoForgotten(Square):
    def backward(self, dy, cache):
        return cache * dy, {}


class SquareOfTheInput(Square):
    def backward(self, dy, cache):
        return 2 * cache**2 * dy, {}


class SignDropped(Square):
    def backward(self, dy, cache):
        return 2 * np.abs(cache) * dy, {}


class TestLaws(ActivationLaws):
    layers = (Square(),)
    mistakes = (TwoForgotten(), SquareOfTheInput(), SignDropped())

    def value(self, layer, x):
        return x * x

    def slope(self, layer, x):
        return 2 * x
