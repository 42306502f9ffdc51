"""Sigmoid-weighted linear unit."""

from __future__ import annotations

import math

from activation_laws import ActivationLaws

from gradcheck.layers.silu import Silu
from gradcheck.maths import sigmoid


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


class ProductRuleForgotten(Silu):
    def backward(self, dy, cache):
        return dy * sigmoid(cache), {}


class OnlyTheSlopeOfTheSigmoid(Silu):
    def backward(self, dy, cache):
        return dy * cache * sigmoid(cache) * sigmoid(-cache), {}


class SignFlippedInside(Silu):
    def backward(self, dy, cache):
        return dy * sigmoid(cache) * (1 - cache * sigmoid(-cache)), {}


class TestLaws(ActivationLaws):
    layers = (Silu(),)
    mistakes = (ProductRuleForgotten(), OnlyTheSlopeOfTheSigmoid(), SignFlippedInside())

    def value(self, layer, x):
        return x * sigma(x)

    def slope(self, layer, x):
        return sigma(x) * (1 + x * sigma(-x))
