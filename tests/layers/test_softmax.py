"""Normalised exponentials along one axis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import few, normal, run
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


@few
@given(st.integers(0, 999), st.sampled_from([1, 30, 800]))
def test_a_row_sums_to_one(seed, size):
    y, _ = Softmax().forward(size * normal(3, 4, seed=seed))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-15)


@pytest.mark.parametrize("size", [50.0, 600.0])
def test_a_sure_row_keeps_its_tiny_gradient(size):
    tail, dy = math.exp(-size), np.array([[0.3, -1.0, 2.0]])
    outcome = run(Softmax(), np.array([[size, 0.0, 0.0]]), dy=(dy,))
    slopes = [0.3 + 1.0, 0.3 - 2.0]
    expected = [[tail * sum(slopes), -tail * slopes[0], -tail * slopes[1]]]
    np.testing.assert_allclose(outcome.dx[0], expected, rtol=1e-14)
