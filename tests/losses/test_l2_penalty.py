"""Half the sum of the squares of parameters."""

from __future__ import annotations

import numpy as np
import pytest
from penalty_laws import PenaltyLaws

from gradcheck.losses.l2_penalty import L2Penalty


class TwoTooMany(L2Penalty):
    def slope(self, w):
        return 2 * w


class TestLaws(PenaltyLaws):
    loss = L2Penalty()
    mistake = TwoTooMany()

    def one(self, w):
        return w * w / 2, w


@pytest.mark.torch
def test_its_gradient_is_what_pytorchs_weight_decay_adds():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    w = np.random.default_rng(0).normal(size=(3, 2))
    leaf = torch.tensor(w, requires_grad=True)
    leaf.grad = torch.zeros_like(leaf)
    torch.optim.SGD([leaf], lr=1.0, weight_decay=0.1).step()
    _, cache = L2Penalty().forward(w, reduction="once")
    (dw,) = L2Penalty().backward(0.1, cache)
    np.testing.assert_allclose(w - leaf.detach().numpy(), dw, rtol=1e-13, atol=1e-15)
