"""How far the score of the target's class fails to stand out among all others."""

from __future__ import annotations

import numpy as np
from loss_laws import LossLaws, assert_refused

from gradcheck.losses.multi_margin import MultiMargin


class OthersAlone(MultiMargin):
    def backward(self, upstream, cache):
        z, share, _, weight = cache
        return (weight * upstream * share)[:, None] * np.sign(z)


class ClassesForgotten(MultiMargin):
    def backward(self, upstream, cache):
        return super().backward(upstream, cache) * cache[0].shape[1]


class TestLaws(LossLaws):
    losses = (MultiMargin(), MultiMargin(p=2, margin=0.5, class_weight=(0.5, 2.0, 1.0)))
    mistakes = (OthersAlone(), ClassesForgotten())
    integer_targets = False
    linear = True

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 3)), np.arange(n) % 3

    def loop(self, loss, s, t, w, dl):
        losses, gradient = np.zeros(len(s)), np.zeros(s.shape)
        for i in range(len(s)):
            share = (loss.class_weight or (1.0, 1.0, 1.0))[t[i]] / 3
            for k in range(3):
                z = loss.margin - float(s[i, t[i]]) + float(s[i, k])
                if k != t[i] and z > 0:
                    losses[i] += w[i] * share * z**loss.p
                    slope = dl[i] * w[i] * share * loss.p * z ** (loss.p - 1)
                    gradient[i, k] += slope
                    gradient[i, t[i]] -= slope
        return losses, gradient

    def perfect(self, loss, s, t):
        return (2.0 * np.eye(3)[t],)

    def torch_losses(self, loss, torch, s, t):
        v = loss.class_weight and torch.tensor(loss.class_weight, dtype=torch.float64)
        options = {"p": loss.p, "margin": loss.margin, "weight": v, "reduction": "none"}
        return torch.nn.functional.multi_margin_loss(s, t, **options)


def test_branches_name_the_side_of_the_margin():
    s, t = np.array([[2.0, 1.0, 1.5, 0.0]]), np.array([0])
    assert MultiMargin().branches(s, t).tolist() == [[0, -1, 1, 0]]
    assert MultiMargin(p=2).branches(s, t).tolist() == [[0, 0, 1, 0]]


def test_a_target_that_does_not_fit_is_refused():
    assert_refused(MultiMargin(), "needs classes from 0 to 2, got 3 at [1]", (2, 3), [0, 3])
    message = "needs one class_weight for each of the 3 classes, got 1"
    assert_refused(MultiMargin(class_weight=(1.0,)), message, (2, 3), [0, 1])
