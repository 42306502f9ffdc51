"""Rectified linear unit that learns its slope for negative inputs."""

from __future__ import annotations

import numpy as np
import pytest
from laws import normal, run
from layer_laws import LayerLaws

from gradcheck.layers.prelu import Prelu


class WeightOfAllInputs(Prelu):
    def backward(self, dy, cache):
        dx, _ = super().backward(dy, cache)
        return dx, {"weight": (dy * cache[0]).sum(axis=(0, *range(2, dy.ndim)))}


class SlopesOfOtherChannels(Prelu):
    def backward(self, dy, cache):
        x, weight = cache
        return super().backward(dy, (x, weight[::-1]))[0], super().backward(dy, cache)[1]


class SlopeForgotten(Prelu):
    def backward(self, dy, cache):
        return np.where(cache[0] > 0, dy, 0), super().backward(dy, cache)[1]


class NotSummedOverPixels(Prelu):
    def backward(self, dy, cache):
        x, weight = cache
        return super().backward(dy, cache)[0], super().backward(dy[..., :1], (x[..., :1], weight))[1]


class TestLaws(LayerLaws):
    cases = (
        (Prelu(), (normal(3, 4),)),
        (Prelu(4), (normal(3, 4),)),
        (Prelu(2), (normal(2, 2, 2, 3),)),
    )
    mistakes = (
        (WeightOfAllInputs(3), (normal(4, 3),), ("weight",)),
        (SlopesOfOtherChannels(3), (normal(4, 3),), ("input",)),
        (SlopeForgotten(), (normal(4, 3),), ("input",)),
        (NotSummedOverPixels(2), (normal(2, 2, 5),), ("weight",)),
    )
    refused = (
        (Prelu(), ((3,),), "needs an input (N, C, ...), got (3,)"),
        (Prelu(2), ((3, 4),), "needs num_parameters 1 or 4, one a channel, got 2"),
    )

    def draw(self, rng):
        channels = int(rng.integers(1, 4))
        shape = (2, channels, *rng.integers(1, 4, int(rng.integers(0, 3))))
        return Prelu(channels if rng.random() < 0.5 else 1), (rng.standard_normal(shape),)

    def value(self, layer, x, weight):
        y = x.copy()
        for index in np.ndindex(*x.shape):
            if x[index] <= 0:
                y[index] *= weight[index[1] if len(weight) > 1 else 0]
        return y


def test_zero_is_a_border_unless_the_line_is_straight():
    assert Prelu(2).branches(np.zeros((1, 2)), np.array([1.0, 0.5])).tolist() == [[0, -1]]


@pytest.mark.parametrize("size", [50.0, 800.0])
def test_large_numbers_are_scaled_numbers(size):
    x, weight = normal(2, 3), np.array([0.3])
    np.testing.assert_allclose(run(Prelu(), size * x, weight=weight).y[0], size * run(Prelu(), x, weight=weight).y[0])
