"""Rectified linear unit."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.relu import Relu


class SignIgnored(Relu):
    def backward(self, dy, cache):
        return dy, {}


class MaskOfTheUpstream(Relu):
    def backward(self, dy, cache):
        return np.where(dy > 0, dy, 0), {}


class Doubled(Relu):
    def backward(self, dy, cache):
        return 2 * super().backward(dy, cache)[0], {}


class MaskOfTheSampleBefore(Relu):
    def backward(self, dy, cache):
        return super().backward(dy, np.roll(cache, 1, axis=0))


class TestLaws(ActivationLaws):
    layers = (Relu(),)
    mistakes = (SignIgnored(), MaskOfTheUpstream(), Doubled(), MaskOfTheSampleBefore())

    def value(self, layer, x):
        return max(x, 0.0)

    def slope(self, layer, x):
        return 1.0 if x > 0 else 0.0


def test_branches_name_the_side_of_zero():
    assert Relu().branches(np.array([[-1.0, -0.0, 0.0, 2.0]])).tolist() == [[0, -1, -1, 1]]
