"""Negative log-likelihood of log-probabilities and integer classes."""

from __future__ import annotations

import numpy as np
from loss_laws import ClassLaws, assert_refused

from gradcheck.losses.nll import Nll


class SignForgotten(Nll):
    def backward(self, upstream, cache):
        return -super().backward(upstream, cache)


class ClassWeightForgotten(Nll):
    def backward(self, upstream, cache):
        u, weight = cache
        return super().backward(upstream, ((u > 0).astype(float), weight))


WEIGHTS = {"class_weight": (0.5, 2.0, 1.0, 0.0)}


class TestLaws(ClassLaws):
    losses = (Nll(), Nll(axis=1), Nll(**WEIGHTS, ignore_index=1))
    mistakes = (SignForgotten(), ClassWeightForgotten(**WEIGHTS))
    linear = True

    def row(self, loss, p, t):
        v = loss.class_weight[t] if loss.class_weight else 1.0
        return -v * p[t], [-v if k == t else 0 for k in range(len(p))]

    def perfect(self, loss, p, t):
        return None

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.nll_loss(
            p.movedim(loss.axis, 1), t, reduction="none", **self.torch_options(loss, torch)
        )


def test_a_target_that_does_not_fit_is_refused():
    assert_refused(Nll(), "needs integer classes as target, got float64", (2, 3), np.full((2, 3), 0.5))
    assert_refused(Nll(), "needs classes from 0 to 2, got 3 at [1]", (2, 3), [0, 3])
    message = "needs one class_weight for each of the 3 classes, got 2"
    assert_refused(Nll(class_weight=(1.0, 2.0)), message, (2, 3), [0, 1])
    message = "needs weights with a positive sum, by which its mean divides, got 0"
    assert_refused(Nll(class_weight=(1.0, 0.0)), message, (2, 2), [1, 1])
