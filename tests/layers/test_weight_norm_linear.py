"""Affine map whose weights have a length and a direction of their own."""

from __future__ import annotations

import math

import numpy as np
from laws import drawn, normal, run
from layer_laws import LayerLaws

from gradcheck.layers.weight_norm_linear import WeightNormLinear


class LengthHeldConstant(WeightNormLinear):
    def backward(self, dy, cache):
        x, g, _, length, _ = cache
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight_v": g * (x.T @ dy) / length}


class GainForgotten(WeightNormLinear):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight_v": gradients["weight_v"] / cache[1]}


class GainOfTheWholeMatrix(WeightNormLinear):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight_g": np.full_like(cache[1], gradients["weight_g"].sum())}


class DirectionInsteadOfWeight(WeightNormLinear):
    def backward(self, dy, cache):
        return dy @ cache[2].T, super().backward(dy, cache)[1]


X = normal(3, 4)


class TestLaws(LayerLaws):
    cases = (
        (WeightNormLinear(3), (X,)),
        (WeightNormLinear(2, bias=False), (normal(2, 2, 3),)),
    )
    mistakes = (
        (LengthHeldConstant(3), (X,), ("weight_v",)),
        (GainForgotten(3), (X,), ("weight_v",)),
        (GainOfTheWholeMatrix(3), (X,), ("weight_g",)),
        (DirectionInsteadOfWeight(3), (X,), ("input",)),
    )
    refused = ((WeightNormLinear(2), ((3,),), "needs an input (N, ..., in_features), got (3,)"),)

    def draw(self, rng):
        shape = (*rng.integers(1, 3, int(rng.integers(1, 3))), int(rng.integers(2, 5)))
        return WeightNormLinear(int(rng.integers(1, 4)), bool(rng.random() < 0.5)), (rng.standard_normal(shape),)

    def value(self, layer, x, weight_v, weight_g, bias=None):
        y = np.zeros((*x.shape[:-1], layer.out_features))
        for *row, o in np.ndindex(*y.shape):
            length = math.sqrt(sum(v * v for v in weight_v[:, o]))
            y[(*row, o)] = sum(x[tuple(row)] * weight_v[:, o]) * weight_g[o] / length + (0 if bias is None else bias[o])
        return y


def test_the_length_of_the_direction_does_not_matter():
    layer = WeightNormLinear(3)
    parameters = drawn(layer, X)
    outcome = run(layer, X, **parameters)
    longer = run(layer, X, **{**parameters, "weight_v": 50 * parameters["weight_v"]})
    np.testing.assert_allclose(longer.y[0], outcome.y[0], rtol=1e-13)
    np.testing.assert_allclose(50 * longer.gradients["weight_v"], outcome.gradients["weight_v"], rtol=1e-12)
    np.testing.assert_allclose((outcome.gradients["weight_v"] * parameters["weight_v"]).sum(axis=0), 0, atol=1e-13)
