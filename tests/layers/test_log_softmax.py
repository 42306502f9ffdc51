"""Logarithm of the normalised exponentials along one axis."""

from __future__ import annotations

import math

import numpy as np
from laws import normal
from softmax_laws import SoftmaxLaws

from gradcheck.layers.log_softmax import LogSoftmax
from gradcheck.layers.softmax import Softmax


class SumDropped(LogSoftmax):
    def backward(self, dy, cache):
        return dy, {}


class ForgetsToExponentiate(LogSoftmax):
    def backward(self, dy, cache):
        return dy - cache * dy.sum(axis=-1, keepdims=True), {}


class SumOverTheBatch(LogSoftmax):
    def backward(self, dy, cache):
        return dy - np.exp(cache) * dy.sum(axis=0, keepdims=True), {}


class MeanForSum(LogSoftmax):
    def backward(self, dy, cache):
        return dy - np.exp(cache) * dy.mean(axis=-1, keepdims=True), {}


class TestLaws(SoftmaxLaws):
    kind = LogSoftmax
    mistakes = (SumDropped(), ForgetsToExponentiate(), SumOverTheBatch(), MeanForSum())

    def along(self, row, dy):
        log_sum = math.log(sum(math.exp(x) for x in row))
        y = [x - log_sum for x in row]
        dx = [
            sum(dy[k] * ((1.0 if j == k else 0.0) - math.exp(y[j])) for k in range(len(row))) for j in range(len(row))
        ]
        return y, dx


def test_is_the_logarithm_of_softmax():
    x = normal(3, 4)
    np.testing.assert_allclose(LogSoftmax().forward(x)[0], np.log(Softmax().forward(x)[0]), rtol=1e-14)
