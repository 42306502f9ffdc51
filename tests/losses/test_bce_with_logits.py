"""Binary cross-entropy of a logit and the probability that is its target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_laws import PointwiseLaws, assert_refused

from gradcheck.losses.bce_with_logits import BceWithLogits


class SigmoidForgotten(BceWithLogits):
    def backward(self, upstream, cache):
        p, t, _, weight = cache
        return upstream * weight * (p - t)


class NegativeClassDropped(BceWithLogits):
    def backward(self, upstream, cache):
        p, t, _, weight = cache
        return upstream * weight * -t / (1 + np.exp(p))


class SigmoidDerivativeAppliedTwice(BceWithLogits):
    def backward(self, upstream, cache):
        q = 1 / (1 + np.exp(-cache[0]))
        return super().backward(upstream, cache) * q * (1 - q)


class TargetOfTheNextOutput(BceWithLogits):
    def backward(self, upstream, cache):
        p, t, ct, weight = cache
        return super().backward(upstream, (p, np.roll(t, 1, axis=1), np.roll(ct, 1, axis=1), weight))


class PositiveWeightOfBothClasses(BceWithLogits):
    def backward(self, upstream, cache):
        p, t, _, weight = cache
        return super().backward(self.pos_weight * upstream, (p, t, t, weight))


class TestLaws(PointwiseLaws):
    losses = (BceWithLogits(), BceWithLogits(pos_weight=3.0), BceWithLogits(pos_weight=(0.5, 2.0)))
    mistakes = (
        SigmoidForgotten(), NegativeClassDropped(), SigmoidDerivativeAppliedTwice(), TargetOfTheNextOutput(),
        PositiveWeightOfBothClasses(2.0),
    )  # fmt: skip

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 2)), rng.uniform(size=(n, 2))

    def loop(self, loss, p, t, w, dl):
        losses, gradient = np.empty(p.shape), np.empty(p.shape)
        for i in range(len(p)):
            for j in range(p.shape[1]):
                q, target = 1 / (1 + math.exp(-p[i, j])), float(t[i, j])
                c = loss.pos_weight[j] if isinstance(loss.pos_weight, tuple) else loss.pos_weight
                losses[i, j] = -w[i] * (c * target * math.log(q) + (1 - target) * math.log(1 - q))
                gradient[i, j] = dl[i, j] * w[i] * ((1 - target) * q - c * target * (1 - q))
        return losses, gradient

    def perfect(self, loss, p, t):
        return (np.log(np.array(loss.pos_weight) * t / (1 - t)),)

    def torch_losses(self, loss, torch, p, t):
        c = torch.tensor(loss.pos_weight, dtype=torch.float64)
        return torch.nn.functional.binary_cross_entropy_with_logits(p, t, pos_weight=c, reduction="none")


def test_a_target_is_predicted_best_by_its_own_logit():
    target = np.array([[0.2, 0.5, 0.9]])
    best = np.log(target / (1 - target))
    losses, cache = BceWithLogits().forward(best, target)
    np.testing.assert_allclose(BceWithLogits().backward(np.ones_like(losses), cache), 0, atol=1e-16)
    for shift in (-0.1, 0.1):
        assert (BceWithLogits().forward(best + shift, target)[0] > losses).all()


@pytest.mark.parametrize("size", [50.0, 600.0])
def test_a_sure_and_right_prediction_keeps_its_tiny_loss_and_gradient(size):
    prediction, target = np.array([[size, -size]]), np.array([[1, 0]])
    losses, cache = BceWithLogits().forward(prediction, target)
    tail = math.exp(-size)
    np.testing.assert_allclose(losses, [[tail, tail]], rtol=1e-14)
    np.testing.assert_allclose(BceWithLogits().backward(np.ones((1, 2)), cache), [[-tail, tail]], rtol=1e-14)


def test_a_target_that_does_not_fit_is_refused():
    loss = BceWithLogits()
    assert_refused(loss, "needs a target of the prediction's shape (4, 1), got (4,)", (4, 1), np.zeros(4))
    assert_refused(loss, "needs a target between 0 and 1, got 1.5 at [0, 1]", (1, 2), [[1.0, 1.5]])
    assert_refused(loss, "needs a target between 0 and 1, got -1 at [1]", (2,), [1, -1])
    assert_refused(loss, "needs a finite target, got nan at [0]", (2,), [np.nan, 0.0])
    loss.check((2,), target=np.array([True, False]))


def test_a_weight_of_the_positive_class_that_does_not_fit_is_refused():
    loss = BceWithLogits(pos_weight=(1.0, 2.0))
    assert_refused(loss, "needs one pos_weight for each of the 3 outputs, got 2", (4, 3), np.zeros((4, 3)))
    message = "needs outputs on an axis behind the batch for its pos_weight, got a prediction (4,)"
    assert_refused(loss, message, (4,), np.zeros(4))
