"""Normalised exponentials along one axis."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import few, normal
from softmax_laws import SoftmaxLaws

from gradcheck.layers.softmax import Softmax


class DiagonalOnly(Softmax):
    def backward(self, dy, cache):
        y = cache
        return dy * y * (1 - y), {}


class SumOverTheBatch(Softmax):
    def backward(self, dy, cache):
        y = cache
        return y * (dy - (dy * y).sum(axis=0, keepdims=True)), {}


class UnweightedSum(Softmax):
    def backward(self, dy, cache):
        y = cache
        return y * (dy - dy.sum(axis=-1, keepdims=True)), {}


class Halved(Softmax):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / 2, {}


class TestLaws(SoftmaxLaws):
    kind = Softmax
    mistakes = (DiagonalOnly(), SumOverTheBatch(), UnweightedSum(), Halved())

    def along(self, row, dy):
        exponentials = [math.exp(x) for x in row]
        y = [e / sum(exponentials) for e in exponentials]
        dx = [sum(dy[k] * y[k] * ((1.0 if j == k else 0.0) - y[j]) for k in range(len(row))) for j in range(len(row))]
        return y, dx

    def torch_function(self, torch):
        return torch.softmax


@few
@given(st.integers(0, 999), st.sampled_from([1, 30, 800]))
def test_a_row_sums_to_one(seed, size):
    y, _ = Softmax().forward(size * normal(3, 4, seed=seed))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-15)
