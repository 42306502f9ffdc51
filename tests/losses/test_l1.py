"""Absolute error."""

from __future__ import annotations

import numpy as np
from loss_laws import H, PointwiseLaws, assert_refused

from gradcheck.losses.l1 import L1


class SignForgotten(L1):
    def backward(self, upstream, cache):
        slope, weight = cache
        return super().backward(upstream, (np.abs(slope), weight))


class WeightForgotten(L1):
    def backward(self, upstream, cache):
        slope, _ = cache
        return upstream * slope


class UpstreamForgotten(L1):
    def backward(self, upstream, cache):
        return super().backward(np.ones_like(upstream), cache)


class SignOfTheSampleBefore(L1):
    def backward(self, upstream, cache):
        slope, weight = cache
        return super().backward(upstream, (np.roll(slope, 1, axis=0), weight))


class TestLaws(PointwiseLaws):
    losses = (L1(),)
    mistakes = (SignForgotten(), WeightForgotten(), UpstreamForgotten(), SignOfTheSampleBefore())

    def scalar(self, loss, p, t):
        return abs(p - t), 1 if p > t else -1

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.l1_loss(p, t, reduction="none")


def test_a_perfect_prediction_is_the_minimum_with_a_zero_gradient_under_a_complex_step_too():
    target = np.array([[1.5, -2.0]])
    losses, cache = L1().forward(target, target)
    assert not losses.any()
    assert not L1().backward(np.ones_like(losses), cache).any()
    assert not L1().forward(target + 1j * H, target)[0].any()
    assert (L1().forward(target + 0.1, target)[0] > 0).all()


def test_branches_name_the_side_of_the_target():
    p, t = np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 2.0, 2.0]])
    assert L1().branches(p, target=t, sample_weight=np.ones(1)).tolist() == [[0, -1, 1]]


def test_a_target_that_does_not_fit_is_refused():
    assert_refused(L1(), "needs a target of the prediction's shape (32, 3), got (3,)", (32, 3), np.zeros(3))
    assert_refused(L1(), "needs a finite target, got -inf at [1]", (2,), [0.0, -np.inf])
