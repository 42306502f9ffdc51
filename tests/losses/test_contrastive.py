"""Pairs that are alike are drawn together, pairs that differ are pushed apart up to a margin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_laws import LossLaws

from gradcheck.errors import ShapeError
from gradcheck.losses.contrastive import Contrastive


class DistanceNotNormalised(Contrastive):
    def backward(self, upstream, cache):
        e, d, short, alike, weight = cache
        return super().backward(upstream, (e, np.ones_like(d), short, alike, weight))


class DifferentPairsDrawnTogether(Contrastive):
    def backward(self, upstream, cache):
        e, d, short, alike, weight = cache
        return super().backward(upstream, (e, d, -short, alike, weight))


class TestLaws(LossLaws):
    losses = (Contrastive(), Contrastive(margin=3.0))
    mistakes = (DistanceNotNormalised(), DifferentPairsDrawnTogether(2.0))
    predictions = 2
    linear = True

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), np.array([1, 0, 1, 1])[:n]

    def loop(self, loss, a, b, t, w, dl):
        losses, da = np.zeros(len(a)), np.zeros(a.shape)
        for i in range(len(a)):
            e = [float(x - y) for x, y in zip(a[i], b[i], strict=True)]
            d = math.sqrt(sum(z * z for z in e))
            losses[i] = w[i] * (max(0, loss.margin - d) ** 2 if t[i] else d * d) / 2
            slope = -max(0, loss.margin - d) / d if t[i] else 1
            da[i] = [dl[i] * w[i] * slope * z for z in e]
        return losses, (da, -da)

    def perfect(self, loss, a, b, t):
        return a, a + 9 * t[:, None]

    def torch_losses(self, loss, torch, a, b, t):
        d = torch.linalg.vector_norm(a - b, dim=1)
        return torch.where(t == 0, d**2, (loss.margin - d).clamp(min=0) ** 2) / 2


def test_equal_embeddings_that_should_differ_have_no_direction_to_go():
    x, t = np.ones((2, 2)), np.array([1, 0])
    losses, cache = Contrastive().forward(x, x, t)
    assert losses.tolist() == [0.5, 0]
    assert not any(gradient.any() for gradient in Contrastive().backward(np.ones(2), cache))
    assert Contrastive().branches(x, x, t).tolist() == [-1, 0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError) as refusal:
        Contrastive().check((2, 3), (2, 3), target=np.array([0, -1]))
    assert str(refusal.value) == "needs a target of 0 (alike) or 1 (different), got -1 at [1]"
