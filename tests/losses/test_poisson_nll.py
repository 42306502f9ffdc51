"""Negative log-likelihood of counts with a Poisson distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_laws import PointwiseLaws, assert_refused

from gradcheck.errors import ShapeError
from gradcheck.losses.poisson_nll import PoissonNll


class CountForgotten(PoissonNll):
    def backward(self, upstream, cache):
        p, t, weight = cache
        return super().backward(upstream, (p, 0 * t, weight))


class RateKeptAsLogarithm(PoissonNll):
    def backward(self, upstream, cache):
        p, t, weight = cache
        return upstream * weight * (p - t)


class TestLaws(PointwiseLaws):
    losses = (PoissonNll(), PoissonNll(full=True))
    mistakes = (CountForgotten(), RateKeptAsLogarithm())
    sizes = (1.0, 50.0)

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 2)), rng.integers(1, 5, (n, 2)).astype(float)

    def scalar(self, loss, p, t):
        rest = t * math.log(t) - t + math.log(2 * math.pi * t) / 2 if loss.full and t > 1 else 0
        if loss.log_input:
            return math.exp(p) - t * p + rest, math.exp(p) - t
        return p - t * math.log(p + loss.eps) + rest, 1 - t / (p + loss.eps)

    def perfect(self, loss, p, t):
        return (np.log(t) if loss.log_input else t - loss.eps,)

    def torch_losses(self, loss, torch, p, t):
        options = {"log_input": loss.log_input, "full": loss.full, "eps": loss.eps, "reduction": "none"}
        return torch.nn.functional.poisson_nll_loss(p, t, **options)


class TestLawsOfRates(TestLaws):
    losses = (PoissonNll(log_input=False, eps=0.01),)
    mistakes = ()
    sizes = (1.0, 50.0, 1e-3)

    def example(self, loss, rng, n):
        p, t = super().example(loss, rng, n)
        return np.exp(p), t

    def checked(self, loss, **options):
        return super().checked(PoissonNll(log_input=False, eps=30.0, output_weight=loss.output_weight), **options)


def test_what_does_not_fit_is_refused():
    assert_refused(PoissonNll(), "needs a target of at least 0, got -1 at [1]", (2,), [1, -1])
    PoissonNll().check_values(np.array([-1.0]))
    with pytest.raises(ShapeError) as refusal:
        PoissonNll(log_input=False).check_values(np.array([1.0, -1.0]))
    message = "needs positive rates as predictions with log_input: false, got -1.0 at [1]"
    assert str(refusal.value) == message
