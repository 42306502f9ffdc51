"""Squared error that grows only linearly far from the target."""

from __future__ import annotations

import numpy as np
from loss_laws import PointwiseLaws

from gradcheck.losses.huber import Huber
from gradcheck.losses.smooth_l1 import SmoothL1


class DeltaMissingOnTheLine(Huber):
    def backward(self, upstream, cache):
        e, sign, inner, weight = cache
        return weight * upstream * np.where(inner, e, sign)


class ParabolaEverywhere(Huber):
    def backward(self, upstream, cache):
        e, _, _, weight = cache
        return weight * upstream * e


class TestLaws(PointwiseLaws):
    losses = (Huber(), Huber(delta=0.3))
    mistakes = (DeltaMissingOnTheLine(0.6), ParabolaEverywhere())

    def scalar(self, loss, p, t):
        e, δ = p - t, loss.delta
        return (e * e / 2, e) if abs(e) <= δ else (δ * (abs(e) - δ / 2), δ if e > 0 else -δ)

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.huber_loss(p, t, reduction="none", delta=loss.delta)


def test_it_is_delta_times_smooth_l1():
    p, t = np.linspace(-2, 2, 9), np.zeros(9)
    np.testing.assert_allclose(Huber(0.5).forward(p, t)[0], 0.5 * SmoothL1(0.5).forward(p, t)[0], rtol=1e-15)


def test_branches_name_the_piece():
    p = np.array([-1.0, -0.5, 0.0, 0.5, 2.0])
    assert Huber(0.5).branches(p, np.zeros(5)).tolist() == [0, 1, 1, 1, 2]
