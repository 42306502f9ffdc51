"""Kullback-Leibler divergence of a target distribution from predicted log-probabilities."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from loss_laws import PointwiseLaws, assert_refused

from gradcheck.losses.kl_div import KlDiv


class ProbabilityOfThePrediction(KlDiv):
    def backward(self, upstream, cache):
        return super().backward(upstream, cache) + upstream


class TargetKeptAsLogarithm(KlDiv):
    def backward(self, upstream, cache):
        t, weight = cache
        return super().backward(upstream, (np.log(t), weight))


class TestLaws(PointwiseLaws):
    losses = (KlDiv(), KlDiv(log_target=True))
    mistakes = (ProbabilityOfThePrediction(), TargetKeptAsLogarithm(log_target=True))
    linear = True

    def example(self, loss, rng, n):
        t = rng.dirichlet(np.ones(3), n)
        return np.log(rng.dirichlet(np.ones(3), n)), np.log(t) if loss.log_target else t

    def scalar(self, loss, p, t):
        t = math.exp(t) if loss.log_target else t
        return t * (math.log(t) - p), -t

    def perfect(self, loss, p, t):
        return None

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.kl_div(p, t, reduction="none", log_target=loss.log_target)


@pytest.mark.parametrize("loss", TestLaws.losses)
def test_the_divergence_is_zero_for_the_target_alone(loss):
    rng = np.random.default_rng(0)
    p, t = TestLaws().example(loss, rng, 5)
    log_t = t if loss.log_target else np.log(t)
    np.testing.assert_allclose(replace(loss).forward(log_t, t)[0].sum(axis=1), 0, atol=1e-15)
    assert (loss.forward(p, t)[0].sum(axis=1) > 0).all()


def test_a_class_without_probability_costs_nothing():
    losses, cache = KlDiv().forward(np.array([[-3.0, -0.1]]), np.array([[0.0, 1.0]]))
    assert losses.tolist() == [[0.0, 0.1]]
    assert KlDiv().backward(np.ones((1, 2)), cache).tolist() == [[0.0, -1.0]]


def test_a_target_that_does_not_fit_is_refused():
    assert_refused(KlDiv(), "needs a target of at least 0, got -0.5 at [1]", (2,), [1.0, -0.5])
    KlDiv(log_target=True).check((2,), target=np.array([-1.0, -0.5]))
