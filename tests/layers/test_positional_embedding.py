"""A learned vector for every place of a sequence."""

from __future__ import annotations

import numpy as np
from laws import drawn, normal, run
from layer_laws import LayerLaws

from gradcheck.layers.positional_embedding import PositionalEmbedding


class NotSummed(PositionalEmbedding):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {"weight": gradients["weight"] / len(dy)}


class EveryPlaceAlike(PositionalEmbedding):
    def backward(self, dy, cache):
        return dy, {"weight": np.broadcast_to(dy.sum(axis=(0, 1)), (self.num_embeddings, dy.shape[2]))}


class PlacesReversed(PositionalEmbedding):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {"weight": gradients["weight"][::-1]}


X = normal(2, 3, 2)


class TestLaws(LayerLaws):
    cases = ((PositionalEmbedding(3), (X,)),)
    mistakes = (
        (NotSummed(3), (X,), ("weight",)),
        (EveryPlaceAlike(3), (X,), ("weight",)),
        (PlacesReversed(3), (X,), ("weight",)),
    )
    refused = (
        (PositionalEmbedding(3), ((2, 3),), "needs a sequence (N, T, features), got (2, 3)"),
        (PositionalEmbedding(3), ((2, 4, 3),), "needs at most num_embeddings=3 steps, got 4"),
    )

    def draw(self, rng):
        n, t, d = (int(k) for k in rng.integers(1, 4, 3))
        return PositionalEmbedding(t + int(rng.integers(3))), (rng.standard_normal((n, t, d)),)

    def value(self, layer, x, weight):
        y = x.copy()
        for n, t, d in np.ndindex(*x.shape):
            y[n, t, d] += weight[t, d]
        return y


def test_places_that_are_not_there_have_no_gradient():
    layer = PositionalEmbedding(5)
    assert not run(layer, X, **drawn(layer, X)).gradients["weight"][3:].any()
