"""Product of two matrices, sample by sample."""

from __future__ import annotations

import numpy as np
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.matmul import Matmul


class NotTransposed(Matmul):
    def backward(self, dy, cache):
        a, b = cache
        return (dy @ b, a.mT @ dy), {}


class FactorsSwapped(Matmul):
    def backward(self, dy, cache):
        a, b = cache
        return (dy @ b.mT, (dy.mT @ a)), {}


class OtherSample(Matmul):
    def backward(self, dy, cache):
        a, b = cache
        return super().backward(dy, (a[::-1], b))


class TransposeForgotten(Matmul):
    def backward(self, dy, cache):
        (da, db), _ = super().backward(dy, cache)
        return (da, db.mT), {}


SQUARES = normal(2, 3, 3), normal(2, 3, 3, seed=1)


class TestLaws(LayerLaws):
    cases = (
        (Matmul(), (normal(2, 2, 3), normal(2, 3, 4, seed=1))),
        (Matmul(transpose_b=True), (normal(2, 2, 3), normal(2, 4, 3, seed=1))),
        (Matmul(), (normal(2, 2, 1, 3), normal(2, 2, 3, 2, seed=1))),
    )
    mistakes = (
        (NotTransposed(), SQUARES, ("a",)),
        (FactorsSwapped(), SQUARES, ("b",)),
        (OtherSample(), SQUARES, ("b",)),
        (TransposeForgotten(transpose_b=True), SQUARES, ("b",)),
    )
    refused = (
        (Matmul(), ((2, 3, 4),), "needs two inputs, got 1"),
        (Matmul(), ((2, 3), (2, 3)), "needs inputs (N, ..., I, K) and (N, ..., K, J), got (2, 3) and (2, 3)"),
        (
            Matmul(),
            ((2, 3, 4), (2, 3, 4)),
            "needs inputs (N, ..., I, K) and (N, ..., K, J), got (2, 3, 4) and (2, 3, 4)",
        ),
        (
            Matmul(transpose_b=True),
            ((2, 3, 4), (2, 4, 3)),
            "needs inputs (N, ..., I, K) and (N, ..., J, K), got (2, 3, 4) and (2, 4, 3)",
        ),
        (
            Matmul(),
            ((2, 1, 3, 4), (2, 2, 4, 3)),
            "needs inputs (N, ..., I, K) and (N, ..., K, J), got (2, 1, 3, 4) and (2, 2, 4, 3)",
        ),
    )

    def draw(self, rng):
        i, j, k = (int(n) for n in rng.integers(1, 4, 3))
        lead = tuple(int(n) for n in rng.integers(1, 3, int(rng.integers(1, 3))))
        transposed = bool(rng.random() < 0.5)
        second = (*lead, j, k) if transposed else (*lead, k, j)
        return Matmul(transposed), (rng.standard_normal((*lead, i, k)), rng.standard_normal(second))

    def value(self, layer, a, b):
        columns = b.shape[-2 if layer.transpose_b else -1]
        y = np.zeros((*a.shape[:-1], columns))
        for *place, i, j in np.ndindex(*y.shape):
            for k in range(a.shape[-1]):
                y[(*place, i, j)] += a[(*place, i, k)] * b[(*place, j, k) if layer.transpose_b else (*place, k, j)]
        return y
