"""Absolute error, rounded off to a parabola near zero."""

from __future__ import annotations

import numpy as np
import pytest
from loss_laws import PointwiseLaws

from gradcheck.losses.l1 import L1
from gradcheck.losses.smooth_l1 import SmoothL1


class BetaMissingOnTheParabola(SmoothL1):
    def backward(self, upstream, cache):
        e, sign, inner, weight = cache
        return weight * upstream * np.where(inner, e, sign)


class ThresholdWithItsSign(SmoothL1):
    def backward(self, upstream, cache):
        e, sign, _, weight = cache
        return super().backward(upstream, (e, sign, e < self.beta, weight))


class TestLaws(PointwiseLaws):
    losses = (SmoothL1(), SmoothL1(beta=0.3), SmoothL1(0))
    mistakes = (BetaMissingOnTheParabola(2.0), ThresholdWithItsSign(0.2))

    def scalar(self, loss, p, t):
        e, β = p - t, loss.beta
        return (e * e / 2 / β, e / β) if abs(e) < β else (abs(e) - β / 2, 1 if e > 0 else -1)

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.smooth_l1_loss(p, t, reduction="none", beta=loss.beta)


@pytest.mark.parametrize("error", [0.5, -0.5])
def test_both_pieces_and_their_slopes_meet_at_beta(error):
    p, t = np.array([error, np.nextafter(error, 0)]), np.zeros(2)
    losses, cache = SmoothL1(0.5).forward(p, t)
    np.testing.assert_allclose(losses, 0.25, rtol=1e-15)
    np.testing.assert_allclose(SmoothL1(0.5).backward(np.ones(2), cache), np.sign(error), rtol=1e-15)


def test_without_a_parabola_it_is_l1():
    p, t, dl = np.array([1.0, 2.0, 2.5]), np.full(3, 2.0), np.ones(3)
    (losses, cache), (expected, cache_l1) = SmoothL1(0).forward(p, t), L1().forward(p, t)
    assert losses.tolist() == expected.tolist()
    assert SmoothL1(0).backward(dl, cache).tolist() == L1().backward(dl, cache_l1).tolist()


def test_branches_name_the_piece():
    p = np.array([-1.0, -0.5, -0.1, 0.0, 0.5, 2.0])
    assert SmoothL1(0.5).branches(p, np.zeros(6)).tolist() == [0, 0, 1, 1, 2, 2]
    assert SmoothL1(0).branches(p, np.zeros(6)).tolist() == [0, 0, 0, -1, 2, 2]
