"""Normalisation by neighbouring channels."""

from __future__ import annotations

import numpy as np
import pytest
from laws import normal, run
from layer_laws import LayerLaws

from gradcheck.layers.local_response_norm import LocalResponseNorm


class NeighboursHeldConstant(LocalResponseNorm):
    def backward(self, dy, cache):
        _, s = cache
        return dy * s**-self.beta, {}


class WindowNotMirrored(LocalResponseNorm):
    def backward(self, dy, cache):
        dx, _ = super().backward(dy[:, ::-1], tuple(each[:, ::-1] for each in cache))
        return dx[:, ::-1], {}


class OwnChannelOnly(LocalResponseNorm):
    def backward(self, dy, cache):
        x, s = cache
        t = dy * x * s ** (-self.beta - 1)
        return dy * s**-self.beta - 2 * self.alpha * self.beta / self.size * x * t, {}


class TwoForgotten(LocalResponseNorm):
    def backward(self, dy, cache):
        _, s = cache
        return (super().backward(dy, cache)[0] + dy * s**-self.beta) / 2, {}


X = normal(2, 4, 2)


class TestLaws(LayerLaws):
    cases = (
        (LocalResponseNorm(2, alpha=0.5), (X,)),
        (LocalResponseNorm(3), (normal(2, 5, 1, 2),)),
        (LocalResponseNorm(5, alpha=1.0, beta=1.5, k=2.0), (normal(2, 2, 2),)),
    )
    mistakes = (
        (NeighboursHeldConstant(3, 0.5), (X,), ("input",)),
        (WindowNotMirrored(2, 0.5), (X,), ("input",)),
        (OwnChannelOnly(3, 0.5), (X,), ("input",)),
        (TwoForgotten(3, 0.5), (X,), ("input",)),
    )
    refused = ((LocalResponseNorm(2), ((3, 4),), "needs an input (N, C, ...) of at least three axes, got (3, 4)"),)

    def draw(self, rng):
        alpha, beta, k = (float(v) for v in rng.uniform(0.1, 2, 3))
        shape = rng.integers(1, 5, int(rng.integers(3, 5)))
        return LocalResponseNorm(int(rng.integers(1, 6)), alpha, beta, k), (rng.standard_normal(shape),)

    def value(self, layer, x):
        y, n = np.zeros(x.shape), layer.size
        for c in range(x.shape[1]):
            window = [d for d in range(c - n // 2, c + (n + 1) // 2) if 0 <= d < x.shape[1]]
            y[:, c] = x[:, c] / (layer.k + layer.alpha / n * sum(x[:, d] ** 2 for d in window)) ** layer.beta
        return y


@pytest.mark.parametrize("size", [0.0, 50.0, 1e100])
def test_any_size_is_finite(size):
    outcome = run(LocalResponseNorm(3), size * X)
    assert np.isfinite([*outcome.y, *outcome.dx]).all()
