"""Pairs of features turned by an angle that grows along the sequence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from laws import close, normal, outputs
from layer_laws import LayerLaws

from gradcheck.layers.rotary_embedding import RotaryEmbedding


class TurnedOn(RotaryEmbedding):
    def backward(self, dy, cache):
        return self._turned(dy, 1), {}


class NotTurned(RotaryEmbedding):
    def backward(self, dy, cache):
        return dy, {}


class OtherPairs(RotaryEmbedding):
    def backward(self, dy, cache):
        return RotaryEmbedding.backward(replace(self, interleaved=not self.interleaved), dy, cache)


X = normal(2, 3, 4)


class TestLaws(LayerLaws):
    cases = ((RotaryEmbedding(), (X,)), (RotaryEmbedding(base=3.0, interleaved=False), (normal(2, 2, 3, 6),)))
    mistakes = (
        (TurnedOn(), (X,), ("input",)),
        (NotTurned(), (X,), ("input",)),
        (OtherPairs(), (X,), ("input",)),
    )
    refused = (
        (
            RotaryEmbedding(),
            ((2, 3, 5),),
            "needs a sequence (N, ..., T, features) with an even number of features, got (2, 3, 5)",
        ),
    )

    def draw(self, rng):
        shape = (*rng.integers(1, 4, int(rng.integers(2, 4))), 2 * int(rng.integers(1, 4)))
        return RotaryEmbedding(float(rng.uniform(2, 1e4)), bool(rng.integers(2))), (rng.standard_normal(shape),)

    def value(self, layer, x):
        y, half = np.zeros(x.shape), x.shape[-1] // 2
        for *place, t, k in np.ndindex(*x.shape[:-1], half):
            i, j = (2 * k, 2 * k + 1) if layer.interleaved else (k, k + half)
            turned = complex(x[(*place, t, i)], x[(*place, t, j)]) * np.exp(1j * t * layer.base ** (-k / half))
            y[(*place, t, i)], y[(*place, t, j)] = turned.real, turned.imag
        return y


def test_lengths_stay_and_scores_depend_on_the_distance_alone():
    (y,) = outputs(RotaryEmbedding(), np.broadcast_to(X[:, :1], X.shape).copy())
    close((y * y).sum(axis=2), np.repeat((X[:, :1] ** 2).sum(axis=2), 3, axis=1), "the lengths")
    scores = y[0] @ y[1].T
    close(scores[1:, 1:], scores[:-1, :-1], "the scores")
