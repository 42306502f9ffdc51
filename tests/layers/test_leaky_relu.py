"""Rectified linear unit with a slope for negative inputs."""

from __future__ import annotations

import numpy as np
from activation_laws import ActivationLaws

from gradcheck.layers.leaky_relu import LeakyRelu


class SlopeDropped(LeakyRelu):
    def backward(self, dy, cache):
        return np.where(cache > 0, dy, 0), {}


class SlopeOnTheOtherSide(LeakyRelu):
    def backward(self, dy, cache):
        return np.where(cache < 0, dy, self.negative_slope * dy), {}


class SlopeSquared(LeakyRelu):
    def backward(self, dy, cache):
        return np.where(cache > 0, dy, self.negative_slope**2 * dy), {}


class TestLaws(ActivationLaws):
    layers = (LeakyRelu(), LeakyRelu(negative_slope=0.3), LeakyRelu(negative_slope=-2.0))
    mistakes = (SlopeDropped(), SlopeOnTheOtherSide(), SlopeSquared())

    def value(self, layer, x):
        return x if x > 0 else layer.negative_slope * x

    def slope(self, layer, x):
        return 1.0 if x > 0 else layer.negative_slope


def test_branches_name_the_side_of_zero():
    assert LeakyRelu().branches(np.array([[-1.0, 0.0, 2.0]])).tolist() == [[0, -1, 1]]


def test_a_straight_line_has_no_border():
    assert LeakyRelu(negative_slope=1).branches(np.array([[-1.0, 0.0, 2.0]])).tolist() == [[0, 0, 1]]
