"""Bilinear map of two inputs."""

from __future__ import annotations

import numpy as np
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.bilinear import Bilinear


class InputsSwapped(Bilinear):
    def backward(self, dy, cache):
        (da, db), gradients = super().backward(dy, cache)
        return (db, da), gradients


class WeightTransposed(Bilinear):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"].swapaxes(1, 2)}


class BiasAveraged(Bilinear):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": gradients["bias"] / len(dy)}


PAIR = normal(3, 2), normal(3, 2, seed=1)


class TestLaws(LayerLaws):
    cases = (
        (Bilinear(2), (normal(3, 4), normal(3, 2))),
        (Bilinear(3, bias=False), (normal(2, 2, 2), normal(2, 2, 3))),
    )
    mistakes = (
        (InputsSwapped(3), PAIR, ("a", "b")),
        (WeightTransposed(3), PAIR, ("weight",)),
        (BiasAveraged(3), PAIR, ("bias",)),
    )
    refused = ((Bilinear(2), ((3, 4), (2, 4)), "needs inputs (N, ..., I) and (N, ..., J), got (3, 4) and (2, 4)"),)

    def draw(self, rng):
        lead = rng.integers(1, 4, int(rng.integers(1, 3)))
        pair = tuple(rng.standard_normal((*lead, int(n))) for n in rng.integers(1, 4, 2))
        return Bilinear(int(rng.integers(1, 4)), bool(rng.random() < 0.5)), pair

    def value(self, layer, a, b, weight, bias=None):
        y = np.zeros((*a.shape[:-1], layer.out_features))
        for *row, o in np.ndindex(*y.shape):
            for i, j in np.ndindex(*weight.shape[1:]):
                y[(*row, o)] += a[(*row, i)] * weight[o, i, j] * b[(*row, j)]
        return y if bias is None else y + bias
