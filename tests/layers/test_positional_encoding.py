"""Sines and cosines of every place of a sequence."""

from __future__ import annotations

import math

import numpy as np
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.positional_encoding import PositionalEncoding


class EncodingHandedBack(PositionalEncoding):
    def backward(self, dy, cache):
        return self.forward(dy)[0], {}


class Scaled(PositionalEncoding):
    def backward(self, dy, cache):
        return dy * math.sqrt(dy.shape[2]), {}


class FirstPlaceForgotten(PositionalEncoding):
    def backward(self, dy, cache):
        return np.where(np.arange(dy.shape[1])[:, None] > 0, dy, 0), {}


X = normal(2, 3, 4)


class TestLaws(LayerLaws):
    cases = ((PositionalEncoding(), (X,)), (PositionalEncoding(base=3.0), (normal(2, 4, 3),)))
    mistakes = (
        (EncodingHandedBack(), (X,), ("input",)),
        (Scaled(), (X,), ("input",)),
        (FirstPlaceForgotten(), (X,), ("input",)),
    )
    refused = ((PositionalEncoding(), ((2, 3),), "needs a sequence (N, T, features), got (2, 3)"),)

    def draw(self, rng):
        return PositionalEncoding(float(rng.uniform(2, 1e4))), (rng.standard_normal(rng.integers(1, 5, 3)),)

    def value(self, layer, x):
        y = x.copy()
        for n, t, j in np.ndindex(*x.shape):
            phi = t / layer.base ** (2 * (j // 2) / x.shape[2])
            y[n, t, j] += math.cos(phi) if j % 2 else math.sin(phi)
        return y
