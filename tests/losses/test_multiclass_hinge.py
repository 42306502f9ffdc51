"""How far the score of the target's class stays behind a margin over the best of the others."""

from __future__ import annotations

import numpy as np
import pytest
from loss_laws import LossLaws, assert_refused

from gradcheck.losses.multiclass_hinge import MulticlassHinge


class TargetAlone(MulticlassHinge):
    def backward(self, upstream, cache):
        gradient = super().backward(upstream, cache)
        return np.where(gradient * upstream[:, None] > 0, 0, gradient)


class BestOfAll(MulticlassHinge):
    def backward(self, upstream, cache):
        z, chosen, _, shape, weight = cache
        return super().backward(upstream, (z, chosen, (chosen + 1) % shape[1], shape, weight))


class TestLaws(LossLaws):
    losses = (MulticlassHinge(), MulticlassHinge(margin=0.2))
    mistakes = (TargetAlone(), BestOfAll())
    integer_targets = False
    linear = True

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 3)), np.arange(n) % 3

    def loop(self, loss, s, t, w, dl):
        losses, gradient = np.zeros(len(s)), np.zeros(s.shape)
        for i in range(len(s)):
            k = max((j for j in range(3) if j != t[i]), key=lambda j, i=i: s[i, j])
            z = loss.margin - float(s[i, t[i]]) + float(s[i, k])
            if z > 0:
                losses[i], gradient[i, k], gradient[i, t[i]] = w[i] * z, dl[i] * w[i], -dl[i] * w[i]
        return losses, gradient

    def perfect(self, loss, s, t):
        return (2.0 * np.eye(3)[t],)

    def torch_losses(self, loss, torch, s, t):
        others = s.scatter(1, t[:, None], -float("inf")).amax(dim=1)
        return (loss.margin - s.gather(1, t[:, None])[:, 0] + others).clamp(min=0)


def test_the_mean_is_that_of_scikit_learns_documentation():
    """hinge_loss([0, 1, 2, 3], ...) is 0.56 in its user guide."""
    scores = [[1.27, 0.03, -0.68, -1.40], [-1.45, -0.58, -0.38, -0.17], [-0.46, -0.8, -1.35, -1.66], [-2, -1, -2, 1]]
    losses, _ = MulticlassHinge().forward(np.array(scores), np.array([0, 1, 2, 3]))
    assert losses.tolist() == pytest.approx([0, 1 + 0.58 - 0.17, 1 + 1.35 - 0.46, 0])


def test_branches_name_the_best_other_class():
    s = np.array([[2.0, 1.0, 0.0], [0.0, 2.0, 2.0], [0.0, 1.0, 2.0], [9.0, 1.0, 1.0]])
    assert MulticlassHinge().branches(s, np.zeros(4, dtype=int)).tolist() == [-1, -1, 3, 0]


def test_what_does_not_fit_is_refused():
    assert_refused(MulticlassHinge(), "needs classes from 0 to 2, got 3 at [1]", (2, 3), [0, 3])
    assert_refused(MulticlassHinge(), "needs at least 2 classes, got a prediction (2, 1)", (2, 1), [0, 0])
