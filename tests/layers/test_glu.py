"""Gated linear unit."""

from __future__ import annotations

import math

import numpy as np
from laws import normal, run
from layer_laws import LayerLaws

from gradcheck.layers.glu import Glu
from gradcheck.maths import sigmoid


class HalvesSwapped(Glu):
    def backward(self, dy, cache):
        return super().backward(dy, cache[::-1])


class GateWithoutSlope(Glu):
    def backward(self, dy, cache):
        a, b = cache
        return np.concatenate([dy * sigmoid(b), dy * a], axis=self.dim), {}


class GateForgotten(Glu):
    def backward(self, dy, cache):
        dx, _ = super().backward(dy, cache)
        return np.concatenate([np.split(dx, 2, axis=self.dim)[0], np.zeros_like(dy)], axis=self.dim), {}


class TestLaws(LayerLaws):
    cases = ((Glu(), (normal(3, 4),)), (Glu(dim=1), (normal(2, 4, 3),)))
    mistakes = (
        (HalvesSwapped(), (normal(3, 4),), ("input",)),
        (GateWithoutSlope(), (normal(3, 4),), ("input",)),
        (GateForgotten(1), (normal(3, 4, 2),), ("input",)),
    )
    refused = (
        (Glu(), ((3, 5),), "needs an even number of places on axis -1, got 5"),
        (Glu(dim=0), ((4, 4),), "needs one of the axes 1, -1 for an input (4, 4), got axis 0"),
    )

    def draw(self, rng):
        shape = 2 * rng.integers(1, 3, int(rng.integers(2, 5)))
        return Glu(int(rng.integers(1, len(shape)))), (rng.standard_normal(shape),)

    def value(self, layer, x):
        x = np.moveaxis(x, layer.dim, -1)
        half = x.shape[-1] // 2
        y = np.zeros((*x.shape[:-1], half))
        for index in np.ndindex(*y.shape):
            y[index] = x[index] / (1 + math.exp(-x[(*index[:-1], index[-1] + half)]))
        return np.moveaxis(y, -1, layer.dim)


def test_shut_and_open_gates_are_finite():
    outcome = run(Glu(), np.array([[50.0, -50.0, 800.0, -800.0]]), dy=(np.ones((1, 2)),))
    assert outcome.y[0].tolist() == [[50.0, 0.0]]
    assert outcome.dx[0].tolist() == [[1, 0, 0, 0]]
