"""Half the sum of the squares of parameters."""

from __future__ import annotations

import numpy as np
import pytest
from core_nets import normal, told
from penalty_laws import PenaltyLaws

from gradcheck.assembly import Assembly
from gradcheck.layers.prelu import Prelu
from gradcheck.losses.l2_penalty import L2Penalty
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.pipeline import check_case
from gradcheck.spec.case import Case, GradientPlan


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


def test_a_parameter_of_a_layer_with_kinks_may_be_used_twice_and_penalised():
    assembly = Assembly({"input": normal(4, 5)}, ("input",), frozenset(["input"]), seed=7)
    assembly.add("prelu_1", Prelu(num_parameters=5), ("input",))
    assembly.add("prelu_2", Prelu(num_parameters=5), ("prelu_1",), written="prelu_1")
    assembly.add_term(Term(L2Penalty(), "once", 1.0, ("prelu_1.weight",), {}, name="loss_1"))
    assembly.add_term(Term(Mse(), "mean", 1.0, ("prelu_2",), {"target": "input"}, name="loss_2"))
    network, point = assembly.network()
    report = check_case(Case("test.yaml", "test", 7, "float64", network, point, gradient=GradientPlan("central")))
    assert report.verdict == "pass", told(report)
