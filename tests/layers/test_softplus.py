"""Smooth version of the rectified linear unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from activation_laws import ActivationLaws
from laws import assert_matches_torch

from gradcheck.layers.softplus import Softplus


class BetaDropped(Softplus):
    def backward(self, dy, cache):
        return Softplus(1.0).backward(dy, cache)


class BetaAppliedTwice(Softplus):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / self.beta, {}


class SignFlippedInside(Softplus):
    def backward(self, dy, cache):
        return super().backward(dy, -cache)


class TestLaws(ActivationLaws):
    layers = (Softplus(), Softplus(beta=2.5), Softplus(beta=0.1))
    mistakes = (BetaDropped(2.0), BetaAppliedTwice(2.0), SignFlippedInside())

    def value(self, layer, x):
        bx = layer.beta * x
        return (max(bx, 0.0) + math.log1p(math.exp(-abs(bx)))) / layer.beta

    def slope(self, layer, x):
        bx = layer.beta * x
        return 1 / (1 + math.exp(-bx)) if bx > 0 else math.exp(bx) / (1 + math.exp(bx))


@pytest.mark.torch
def test_is_pytorchs_below_its_threshold():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert_matches_torch(Softplus(), torch.nn.functional.softplus, np.linspace(-30, 20, 7).reshape(7, 1))


def test_has_no_kinks():
    assert Softplus().branches(np.zeros((1, 2))) is None
