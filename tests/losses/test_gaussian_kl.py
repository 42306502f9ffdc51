"""Kullback-Leibler divergence of a diagonal normal distribution from the standard one."""

from __future__ import annotations

import math

import numpy as np
from loss_laws import PointwiseLaws

from gradcheck.losses.gaussian_kl import GaussianKl


class VarianceForDeviation(GaussianKl):
    def backward(self, upstream, cache):
        mean, log_variance = super().backward(upstream, cache)
        return mean, 2 * log_variance


class MeanForgotten(GaussianKl):
    def backward(self, upstream, cache):
        mean, log_variance = super().backward(upstream, cache)
        return 0 * mean, log_variance


class TestLaws(PointwiseLaws):
    losses = (GaussianKl(),)
    mistakes = (VarianceForDeviation(), MeanForgotten())
    predictions = 2
    sizes = (1.0, 50.0)

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 2)), rng.normal(size=(n, 2))

    def scalar(self, loss, μ, v):
        return (μ * μ + math.exp(v) - 1 - v) / 2, μ, (math.exp(v) - 1) / 2

    def perfect(self, loss, mean, log_variance):
        return 0 * mean, 0 * log_variance

    def torch_losses(self, loss, torch, mean, log_variance):
        normal = torch.distributions.Normal
        own = normal(mean, (log_variance / 2).exp())
        return torch.distributions.kl_divergence(own, normal(torch.zeros_like(mean), torch.ones_like(mean)))


def test_near_the_standard_distribution_nothing_cancels():
    tiny = np.array([[1e-9]])
    _, cache = GaussianKl().forward(tiny, tiny)
    np.testing.assert_allclose(GaussianKl().backward(np.ones((1, 1)), cache), [[[1e-9]], [[5e-10]]], rtol=1e-8)
