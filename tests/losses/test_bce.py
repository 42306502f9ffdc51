"""Binary cross-entropy of a probability and the probability that is its target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_laws import PointwiseLaws, assert_refused

from gradcheck.errors import ShapeError
from gradcheck.layers.sigmoid import Sigmoid
from gradcheck.losses.bce import Bce


class AsIfOfTheLogit(Bce):
    def backward(self, upstream, cache):
        p, t, weight = cache
        return upstream * weight * (p - t)


class NegativeClassDropped(Bce):
    def backward(self, upstream, cache):
        p, t, weight = cache
        return upstream * weight * -t / p


class TestLaws(PointwiseLaws):
    losses = (Bce(),)
    mistakes = (AsIfOfTheLogit(), NegativeClassDropped())
    sizes = (1.0, 1e-3, 1e-9)
    heads = (Sigmoid(),)

    def example(self, loss, rng, n):
        return rng.uniform(0.01, 0.99, (n, 2)), rng.uniform(0.01, 0.99, (n, 2))

    def scalar(self, loss, p, t):
        return -(t * math.log(p) + (1 - t) * math.log(1 - p)), (p - t) / (p * (1 - p))

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.binary_cross_entropy(p, t, reduction="none")


def test_what_does_not_fit_is_refused():
    assert_refused(Bce(), "needs a target between 0 and 1, got 1.5 at [1]", (2,), [0.0, 1.5])
    Bce().check_values(np.array([0.1, 0.9]))
    with pytest.raises(ShapeError) as refusal:
        Bce().check_values(np.array([[0.5, 1.0]]))
    assert str(refusal.value) == (
        "needs predictions between 0 and 1, without either (a sigmoid in front, or bce_with_logits without it), "
        "got 1.0 at [0, 1]"
    )
