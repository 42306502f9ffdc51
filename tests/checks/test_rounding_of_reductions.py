"""A gradient that is held against that of another reduction may round as that one does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import graph, told
from msgspec.structs import replace

from gradcheck.checks._base import to_sum
from gradcheck.evidence import gather
from gradcheck.gradients.analytic import Objective, gradient, greatest_rounding
from gradcheck.layers._base import Layer
from gradcheck.layers.gelu import Gelu
from gradcheck.layers.linear import Linear
from gradcheck.losses.cosine_embedding import CosineEmbedding
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.pipeline import check_case
from gradcheck.spec.case import Case

SUM = Objective(0, "sum")


def two_ways(approximate: Any, seed: int = 0, least: float = 1.0) -> Case:
    """What leads to the loss in two ways nearly cancels. Exact gelu does not answer in long double, that by tanh does.

    least  how often the losses count under `none`, relative to a usual random vector
    """
    data = {"input": np.random.default_rng(seed).standard_normal((3, 4)), "target": np.array([1, 1, 1])}
    layers: list[Any] = [
        ("gelu", Gelu(approximate), ("input",)), ("a", Linear(5), ("gelu",)), ("b", Linear(5), ("a",))
    ]  # fmt: skip
    term = Term(CosineEmbedding(), "none", 1.0, ("a", "b"), {"target": "target"})
    case = graph(data, layers, [term], checks=("reduction", "per_sample", "accumulation"))
    contraction = least * case.point.arrays["loss.contraction"]
    return replace(case, point=case.point.with_arrays({"loss.contraction": contraction}))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("seed", [5, 23, 31])
def test_losses_that_hardly_count_under_none_round_more_under_others(approximate: str, seed: int) -> None:
    report = check_case(two_ways(approximate, seed, least=1e-3))
    assert not report.findings, told(report)
    assert {check.verdict for check in report.checks} == {"pass"}


def test_rounding_is_measured_where_a_layer_does_not_answer_in_a_wider_precision() -> None:
    found = []
    for approximate in ("none", "tanh"):
        case = two_ways(approximate)
        base = gradient(case.network, case.point, SUM)
        found.append(
            greatest_rounding(case.network, case.point, base, SUM)["input"] / np.abs(base.gradients["input"]).max()
        )
    assert all(2**-54 < rounding < 2**-46 for rounding in found), found


class Counted(Layer):
    """tanh, which counts how often it is asked in a wider precision; or answers in the usual one all the same."""

    def __init__(self, refuses: bool) -> None:
        self.refuses, self.wide = refuses, 0

    def forward(self, x: Any) -> Any:
        self.wide += x.dtype == np.longdouble
        return np.tanh(x.astype(np.float64) if self.refuses else x), x

    def backward(self, dy: Any, cache: Any) -> Any:
        slope = 1 - np.tanh(cache) ** 2
        return (dy * slope).astype(np.float64 if self.refuses else dy.dtype), {}


@pytest.mark.parametrize("refuses", [False, True])
def test_the_wider_precision_of_the_declared_reduction_tells_the_rounding_of_others(refuses: bool) -> None:
    counted = Counted(refuses)
    layers: list[Any] = [("a", Linear(5), ("input",)), ("b", counted, ("a",)), ("c", Linear(3), ("b",))]
    data = {"input": np.random.default_rng(0).standard_normal((7, 4)), "target": np.ones((7, 3))}
    case = graph(data, layers, [Term(Mse(), "mean", 0.37, ("c",), {"target": "target"})])
    evidence = gather(case, "", lambda done, total, name: None)
    before = counted.wide
    base, found = evidence.under(SUM)
    assert counted.wide == before or refuses
    measured = greatest_rounding(case.network, case.point, base, SUM)
    for name, rounding in measured.items():
        least = np.abs(base.gradients[name]).max() * 2**-53
        assert rounding <= found[name] <= (rounding if refuses else rounding + 2 * least), name


def test_each_loss_counts_about_as_much_as_any_other_under_none() -> None:
    vector = np.abs(two_ways("tanh").point.arrays["loss.contraction"])
    assert np.all((vector >= 0.5) & (vector <= 1.5))


def test_errors_grow_by_what_the_declared_objective_divides_and_weighs() -> None:
    term = Term(CosineEmbedding(), "none", -0.5, ("a", "b"), {"target": "target"})
    assert to_sum(term, 1.0, {"loss.contraction": np.array([1.5, -0.25])}) == 8
    assert to_sum(replace(term, reduction="mean"), 3.0, {}) == 6
    assert to_sum(replace(term, weight=0.0), 3.0, {}) == 1
