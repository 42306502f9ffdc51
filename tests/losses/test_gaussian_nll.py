"""Negative log-likelihood with a normal distribution whose mean and variance are predicted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_laws import PointwiseLaws

from gradcheck.errors import ShapeError
from gradcheck.layers.softplus import Softplus
from gradcheck.losses.gaussian_nll import GaussianNll


class AsIfOfTheDeviation(GaussianNll):
    def backward(self, upstream, cache):
        mean, variance = super().backward(upstream, cache)
        return mean, 2 * np.sqrt(cache[1]) * variance


class VarianceForgottenInTheMean(GaussianNll):
    def backward(self, upstream, cache):
        mean, variance = super().backward(upstream, cache)
        return mean * cache[1], variance


class TestLaws(PointwiseLaws):
    losses = (GaussianNll(), GaussianNll(full=True, eps=0.5))
    mistakes = (AsIfOfTheDeviation(), VarianceForgottenInTheMean())
    predictions = 2
    heads = (None, Softplus())

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 2)), rng.uniform(0.6, 2, (n, 2)), rng.normal(size=(n, 2))

    def scalar(self, loss, p, v, t):
        s, e = max(v, loss.eps), p - t
        constant = math.log(2 * math.pi) / 2 if loss.full else 0
        return (math.log(s) + e * e / s) / 2 + constant, e / s, (1 / s - (e / s) ** 2) / 2 if v > loss.eps else 0

    def perfect(self, loss, p, v, t):
        return t, 0 * v

    def torch_losses(self, loss, torch, p, v, t):
        return torch.nn.functional.gaussian_nll_loss(p, t, v, full=loss.full, eps=loss.eps, reduction="none")


def test_the_best_variance_is_the_squared_error():
    p, t = np.array([[1.0, -2.0]]), np.array([[3.0, -1.0]])
    _, cache = GaussianNll().forward(p, (p - t) ** 2, t)
    np.testing.assert_allclose(GaussianNll().backward(np.ones((1, 2)), cache)[1], 0, atol=1e-16)


def test_below_its_least_value_a_variance_has_no_gradient():
    p, v, t = np.array([[1.0, 1.0]]), np.array([[0.1, 0.5]]), np.zeros((1, 2))
    losses, cache = GaussianNll(eps=0.5).forward(p, v, t)
    assert losses[0, 0] == losses[0, 1]
    assert GaussianNll(eps=0.5).backward(np.ones((1, 2)), cache)[1].tolist() == [[0, 0]]
    assert GaussianNll(eps=0.5).branches(p, v, t).tolist() == [[0, -1]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"needs predictions of one shape, got \(2, 1\) and \(2, 3\)"):
        GaussianNll().check((2, 1), (2, 3), target=np.zeros((2, 1)))
    with pytest.raises(ShapeError) as refusal:
        GaussianNll().check_values(np.ones(1), np.array([-1.0]))
    assert str(refusal.value) == (
        "needs variances of at least 0 as second prediction (a softplus in front), got -1.0 at [0]"
    )
