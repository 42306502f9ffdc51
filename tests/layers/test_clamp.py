"""Limits of every entry."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws
from laws import assert_refuses

from gradcheck.layers.clamp import Clamp


class NeverFlat(Clamp):
    def backward(self, dy, cache):
        return dy, {}


class ClampsTheGradient(Clamp):
    def backward(self, dy, cache):
        return np.clip(dy, self.min, self.max), {}


class FlatAboveOnly(Clamp):
    def backward(self, dy, cache):
        return np.where(cache > self.max, 0, dy), {}


class TestLaws(ActivationLaws):
    layers = (Clamp(min=-0.2, max=0.7), Clamp(min=0.1), Clamp(max=0.3))
    mistakes = (NeverFlat(-0.3, 0.3), ClampsTheGradient(-0.3, 0.3), FlatAboveOnly(-0.3, 0.3))

    def value(self, layer, x):
        x = x if layer.min is None else max(x, layer.min)
        return x if layer.max is None else min(x, layer.max)

    def slope(self, layer, x):
        return 1.0 if self.value(layer, x) == x else 0.0


def test_branches_have_borders_at_the_limits():
    x = np.array([[-1.0, 0.0, 1.0, 2.0, 3.0]])
    assert Clamp(0, 2).branches(x).tolist() == [[0, -1, 1, -1, 2]]
    assert Clamp(max=2).branches(x).tolist() == [[0, 0, 0, -1, 1]]


def test_limits_that_are_missing_or_out_of_order_are_refused():
    assert_refuses(Clamp(), (2, 3), message="needs a limit: min, max or both")
    assert_refuses(Clamp(2, 1.5), (2, 3), message="needs min below max, got 2 and 1.5")
