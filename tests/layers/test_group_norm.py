"""Normalisation of groups of channels."""

from __future__ import annotations

import math

import numpy as np
from laws import normal, run
from layer_laws import LayerLaws

from gradcheck.layers.group_norm import GroupNorm


class StatisticsHeldConstant(GroupNorm):
    def backward(self, dy, cache):
        _, s, weight = cache
        dx = self._groups(dy * weight.reshape(-1, *[1] * (dy.ndim - 2))) / s
        return dx.reshape(dy.shape), super().backward(dy, cache)[1]


class VarianceHeldConstant(GroupNorm):
    def backward(self, dy, cache):
        z, sigma, weight = cache
        dx, _ = super().backward(dy, (0 * z, sigma, weight))
        return dx, super().backward(dy, cache)[1]


class WeightForgotten(GroupNorm):
    def backward(self, dy, cache):
        z, sigma, weight = cache
        return super().backward(dy, (z, sigma, np.ones_like(weight)))[0], super().backward(dy, cache)[1]


class WeightOfTheInput(GroupNorm):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"][::-1]}


X = normal(2, 4, 3)


class TestLaws(LayerLaws):
    cases = (
        (GroupNorm(2), (X,)),
        (GroupNorm(2, affine=False), (normal(2, 6),)),
        (GroupNorm(1, eps=0.1), (normal(2, 2, 2, 2),)),
    )
    mistakes = (
        (StatisticsHeldConstant(2), (X,), ("input",)),
        (VarianceHeldConstant(2), (X,), ("input",)),
        (WeightForgotten(2), (X,), ("input",)),
        (WeightOfTheInput(2), (X,), ("weight",)),
    )
    refused = (
        (GroupNorm(1), ((3,),), "needs an input (N, C, ...), got (3,)"),
        (GroupNorm(2), ((2, 3, 4),), "needs channels divisible by num_groups=2, got 3"),
    )

    def draw(self, rng):
        groups = int(rng.integers(1, 4))
        shape = (2, groups * int(rng.integers(1, 3)), *rng.integers(2, 4, int(rng.integers(1, 3))))
        layer = GroupNorm(groups, float(rng.choice([1e-5, 0.3])), bool(rng.random() < 0.5))
        return layer, (rng.standard_normal(shape),)

    def value(self, layer, x, weight=None, bias=None):
        y, channels = np.zeros(x.shape), x.shape[1]
        for n in range(len(x)):
            for group in np.split(np.arange(channels), layer.num_groups):
                entries = x[n, group].ravel().tolist()
                mean = sum(entries) / len(entries)
                sigma = math.sqrt(sum((t - mean) ** 2 for t in entries) / len(entries) + layer.eps)
                for c in group:
                    y[n, c] = (x[n, c] - mean) / sigma
                    if weight is not None:
                        y[n, c] = y[n, c] * weight[c] + bias[c]
        return y


def test_equal_and_huge_entries_are_finite():
    for x in (np.zeros((1, 2, 2)), 1e100 * normal(1, 2, 2)):
        outcome = run(GroupNorm(1, affine=False), x)
        assert np.isfinite([*outcome.y, *outcome.dx]).all()
