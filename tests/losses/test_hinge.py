"""How far a score stays behind a margin on its target's side."""

from __future__ import annotations

import numpy as np
from loss_laws import PointwiseLaws, assert_refused

from gradcheck.losses.hinge import Hinge


class TargetForgotten(Hinge):
    def backward(self, upstream, cache):
        z, _, weight = cache
        return super().backward(upstream, (z, np.ones_like(z), weight))


class NeverSatisfied(Hinge):
    def backward(self, upstream, cache):
        z, t, weight = cache
        return super().backward(upstream, (np.ones_like(z), t, weight))


class TestLaws(PointwiseLaws):
    losses = (Hinge(), Hinge(margin=0.3), Hinge(squared=True))
    mistakes = (TargetForgotten(), NeverSatisfied(margin=0.1))
    linear = True

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 2)), np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]])[:n]

    def scalar(self, loss, p, t):
        z = loss.margin - t * p
        if z <= 0:
            return 0, 0
        return (z * z, -2 * t * z) if loss.squared else (z, -t)

    def perfect(self, loss, p, t):
        return (2 * t,)

    def torch_losses(self, loss, torch, p, t):
        z = torch.nn.functional.hinge_embedding_loss(loss.margin - t * p, torch.ones_like(t), reduction="none")
        return z.clamp(min=0) ** (2 if loss.squared else 1)


def test_the_mean_is_that_of_scikit_learns_documentation():
    """hinge_loss([-1, 1, 1], [-2.18, 2.36, 0.09]) is 0.30 in its user guide."""
    losses, _ = Hinge().forward(np.array([-2.18, 2.36, 0.09]), np.array([-1, 1, 1]))
    assert round(float(losses.mean()), 2) == 0.30


def test_branches_name_the_side_of_the_margin():
    p, t = np.array([[0.0, 1.0, 2.0]]), np.ones((1, 3))
    assert Hinge().branches(p, t).tolist() == [[1, -1, 0]]
    assert Hinge(squared=True).branches(p, t).tolist() == [[1, 0, 0]]


def test_a_target_that_is_no_sign_is_refused():
    assert_refused(Hinge(), "needs a target of -1 or 1, got 0 at [1]", (2,), [1, 0])
