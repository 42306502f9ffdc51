"""Squared error."""

from __future__ import annotations

import numpy as np
from loss_laws import PointwiseLaws, assert_refused

from gradcheck.losses.mse import Mse


class TwoForgotten(Mse):
    def backward(self, upstream, cache):
        return super().backward(upstream, cache) / 2


class WeightForgotten(Mse):
    def backward(self, upstream, cache):
        error, _ = cache
        return 2 * upstream * error


class TargetMinusPrediction(Mse):
    def backward(self, upstream, cache):
        return -super().backward(upstream, cache)


class ErrorOfTheFirstOutput(Mse):
    def backward(self, upstream, cache):
        error, weight = cache
        return super().backward(upstream, (np.broadcast_to(error[:, :1], error.shape), weight))


class TestLaws(PointwiseLaws):
    losses = (Mse(),)
    mistakes = (TwoForgotten(), WeightForgotten(), TargetMinusPrediction(), ErrorOfTheFirstOutput())

    def scalar(self, loss, p, t):
        return (p - t) * (p - t), 2 * (p - t)

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.mse_loss(p, t, reduction="none")


def test_a_perfect_prediction_is_the_minimum_with_a_zero_gradient():
    target = np.array([[1.5, -2.0], [800.0, 0.0]])
    losses, cache = Mse().forward(target, target)
    assert not losses.any()
    assert not Mse().backward(np.ones_like(losses), cache).any()
    assert (Mse().forward(target + 0.1, target)[0] > 0).all()


def test_a_target_that_does_not_fit_is_refused():
    assert_refused(Mse(), "needs a target of the prediction's shape (32, 3), got (32,)", (32, 3), np.zeros(32))
    assert_refused(Mse(), "needs a target of the prediction's shape (32,), got (32, 1)", (32,), np.zeros((32, 1)))
    assert_refused(Mse(), "needs a finite target, got nan at [0, 1]", (1, 2), [[1.0, np.nan]])
    assert_refused(Mse(), "needs a target of real numbers, got complex128", (2,), [1j, 2.0])
    assert_refused(Mse(), "needs a target of real numbers, got <U3", (1,), ["cat"])
    Mse().check((2,), target=np.array([1, 2]))
    Mse().check((2,), target=np.array([True, False]))
