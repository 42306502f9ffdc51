"""Sum of the absolute values of parameters."""

from __future__ import annotations

import numpy as np
from penalty_laws import PenaltyLaws

from gradcheck.losses.l1_penalty import L1Penalty


class SignForgotten(L1Penalty):
    def slope(self, w):
        return np.ones_like(w)


class TestLaws(PenaltyLaws):
    loss = L1Penalty()
    mistake = SignForgotten()

    def one(self, w):
        return abs(w), 1 if w > 0 else -1


def test_at_zero_backward_says_zero():
    total, cache = L1Penalty().forward(np.array([0.0, -2.0]), reduction="once")
    assert total == 2
    assert L1Penalty().backward(1.0, cache)[0].tolist() == [0, -1]
