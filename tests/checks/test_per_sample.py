from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Centred, Declared, Gate, Reducing, double, errors, graph, normal, told, verdict
from support import case, check, judged

from gradcheck.findings import CheckResult, SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.multi_head_attention import MultiHeadAttention
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.pipeline import run_case

X, TARGET = normal(4, 3), normal(4, 2)
ON = ["gradient", "per_sample"]


def with_loss(loss: Loss, target: Any = TARGET, **options: Any) -> SpecReport:
    outputs = target.shape[1] if target.ndim > 1 else 3
    return check(Linear(5), Tanh(), Linear(outputs), x=X, loss=loss, target=target, **{"checks": ON, **options})


def result(report: SpecReport, position: int = 0) -> CheckResult:
    return [check for check in report.checks if check.check == "per_sample"][position]


# Correct networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "batch_mean", "none"])
def test_batch_is_the_sum_of_its_samples(reduction: str, dtype: str) -> None:
    report = with_loss(Mse(), reduction=reduction, dtype=dtype)
    assert not report.findings, told(report)
    assert verdict(report, "per_sample") == "pass"
    measured = result(report).measured
    assert set(measured["largest_difference"]) == {"sum", "mean", "batch_mean"}
    accuracy = 1e-14 if dtype == "float64" else 1e-5
    assert all(0 <= difference < accuracy for difference in measured["largest_difference"].values())


def test_sentences_say_how_closely_and_at_what_cost() -> None:
    report = with_loss(Mse())
    words = " ".join(result(report).measured["sentences"])
    assert "he gradient of the batch is the sum of the gradients of its 4 samples (largest difference " in words
    assert "4 times the partial derivatives" in words
    assert "128 instead of 32" in words
    assert result(report).measured["partial_derivatives"] == {"batch": 32, "per_sample": 128}


def test_gradient_that_is_nothing_but_rounding_does_not_count_as_a_difference() -> None:
    """The bias of the keys has the true gradient zero: batch and samples differ by all that they say about it."""
    report = check(MultiHeadAttention(1), x=normal(3, 2, 2), checks=ON)
    assert verdict(report, "per_sample") == "pass"
    assert max(result(report).measured["largest_difference"].values()) < 1e-13


def test_time_it_takes_is_told_in_a_note_and_not_in_the_report() -> None:
    net = case(Linear(2), x=X, loss=Mse(), target=TARGET, checks=ON)
    (note,) = run_case(net, "").notes
    assert note.startswith("per-sample backpropagation: 4 times the partial derivatives (32 instead of 8), ")
    assert note.endswith(" times the time of one batch")
    assert run_case(net, "").report == run_case(net, "").report


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("loss", [Declared(), Reducing()], ids=["declared", "undeclared"])
def test_reducing_loss_is_the_sum_of_its_samples_over_the_whole_batchs_divisor(loss: Loss, reduction: str) -> None:
    report = with_loss(loss, reduction=reduction)
    assert not report.findings, told(report)
    measured = set(result(report).measured["largest_difference"])
    assert measured == ({"sum", "mean"} if isinstance(loss, Declared) else {"sum"})


def test_inputs_constants_indices_and_weights_go_with_their_samples() -> None:
    gate = check(Gate(), x={"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])}, checks=ON)
    assert not gate.findings, told(gate)
    weighted = with_loss(CrossEntropy(), np.array([0, 2, 1, 1]), extra={"sample_weight": np.array([0, 1, 2.5, 10])})
    assert not weighted.findings, told(weighted)
    assert {verdict(report, "per_sample") for report in (gate, weighted)} == {"pass"}


def test_kinks_are_no_obstacle() -> None:
    x = X.copy()
    x[1] = 0
    report = check(Linear(3, bias=False), Relu(), Linear(2), x=x, loss=L1(), target=TARGET, checks=ON, method="central")
    assert verdict(report, "per_sample") == "pass", told(report)
    assert report.counts.kink > 0


# Mistakes -------------------------------------------------------------------------------------------------------------


class ByTheBatch(Linear):
    """Its weight gradient is divided by the number of samples, which a batch of one does not show."""

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"] / len(dy)}


class LastSampleOnly(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        x, weight, _ = cache
        return dy @ weight.T, {"weight": x[-1:].T @ dy[-1:], "bias": dy.sum(axis=0)}


class Leaking(Tanh):
    """Hands a thousandth of each sample's gradient to the sample before it."""

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx + 1e-3 * np.roll(dx, -1, axis=0), gradients


@pytest.mark.parametrize("wrong", [ByTheBatch(2), LastSampleOnly(2)], ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layer_that_does_not_sum_over_its_samples_is_named_with_its_parameter(wrong: Linear, dtype: str) -> None:
    report = check(Linear(2), Tanh(), wrong, x=X, dtype=dtype)
    found = [finding for finding in report.findings if finding.code == "GC301"]
    name = f"{report.network[-1].name}"
    assert [(finding.layer, finding.parameter) for finding in found] == [(name, f"{name}.weight")], told(report)
    assert verdict(report, "per_sample") == "fail"
    assert found[0].index is not None
    assert "the samples alone give" in found[0].message
    assert 0.3 < result(report).measured["largest_difference"]["sum"] < 2


def test_layer_that_leaks_between_samples_is_named() -> None:
    report = check(Linear(2), Leaking(), Linear(2), x=X, checks=ON)
    assert "GC301" in {finding.code for finding in errors(report)}, told(report)
    assert {finding.layer for finding in errors(report)} == {"leaking_1"}, told(report)


def test_of_two_roads_from_one_activation_the_one_that_leaks_is_named() -> None:
    layers = [
        ("stem", Linear(2), ("input",)),
        ("leaking", Leaking(), ("stem",)),
        ("sum", Add(), ("leaking", "stem")),
    ]
    term = Term(Mse(), "mean", 1.0, ("sum",), {"target": "target"})
    report = judged(graph({"input": X, "target": TARGET}, layers, [term], checks=ON))
    assert "GC301" in {finding.code for finding in errors(report)}, told(report)
    assert {finding.layer for finding in errors(report)} == {"leaking"}, told(report)


def test_loss_that_divides_each_sample_by_its_own_number_of_targets_fails() -> None:
    """Per-sample means are the mistake to be found: the samples alone are sums."""

    class OwnMean(Loss):
        reductions = ("sum", "mean")

        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            valid = ~np.isnan(target)
            error = np.where(valid, prediction - np.nan_to_num(target), 0)
            share = valid / np.maximum(valid.sum(axis=1, keepdims=True), 1) / len(valid) if reduction == "mean" else 1.0
            return (share * error**2).sum(), (error, share)

        def backward(self, upstream: Any, cache: Any) -> Any:
            error, share = cache
            return 2 * upstream * share * error

        def divisor(self, target: Any, reduction: str) -> Any:
            return (~np.isnan(target)).sum() if reduction == "mean" else 1

    target = TARGET.copy()
    target[1, 0] = np.nan
    for reduction in ("sum", "mean"):
        report = with_loss(OwnMean(), target, reduction=reduction)
        assert verdict(report, "gradient") == "pass", told(report)
        assert verdict(report, "per_sample") == "fail", told(report)
        assert {(f.code, f.layer) for f in errors(report)} == {("GC301", "loss")}, told(report)


def test_loss_whose_forward_sees_the_batch_fails_by_the_numeric_gradient_too() -> None:
    class AgainstTheMean(Declared):
        """Deviations are taken from the batch's mean error: no sum over samples, in forward and backward alike."""

        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            error = prediction - target
            error = error - error.mean(axis=0)
            factor = self.share(target) if reduction == "mean" else 1
            return (factor * error**2).sum(), (error, factor)

    report = with_loss(AgainstTheMean())
    assert verdict(report, "gradient") == "pass", told(report)
    assert verdict(report, "per_sample") == "fail", told(report)


def test_forward_that_sees_the_batch_fails_though_its_backward_does_not() -> None:
    class OneSided(Declared):
        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            error = prediction - target
            factor = self.share(target) if reduction == "mean" else 1
            return (factor * (error - error.mean(axis=0)) ** 2).sum(), (error, factor)

    report = with_loss(OneSided())
    assert verdict(report, "gradient") == "fail", told(report)
    assert verdict(report, "per_sample") == "fail", told(report)


# What cannot be asked -------------------------------------------------------------------------------------------------


def test_batch_of_one_is_not_applicable() -> None:
    report = check(Linear(2), x=normal(1, 3), checks=ON)
    assert (result(report).verdict, result(report).reason) == (
        "not_applicable", "the batch has one sample, which is its own sum",
    )  # fmt: skip
    assert report.verdict == "pass"


def test_layers_that_couple_samples_are_named_and_not_failed() -> None:
    report = check(Linear(3), Centred(), Tanh(), Centred(), x=X, checks=ON)
    assert result(report).verdict == "not_applicable"
    assert result(report).reason.startswith("centred_1 and centred_2 couple")
    assert result(report).reason.endswith("(measured), so a sample alone has another gradient")
    assert report.verdict == "pass", told(report)


def test_backward_that_gave_nothing_usable_is_not_applicable() -> None:
    report = check(Linear(3), double(lambda dy: (None, {})), x=X, checks=ON)
    assert result(report).verdict == "not_applicable"
    assert "double_1" in result(report).reason


def test_loss_without_a_sum_is_not_applicable() -> None:
    class OnlyMean(Reducing):
        reductions = ("mean",)

    report = with_loss(OnlyMean())
    assert result(report).verdict == "not_applicable"
    assert result(report).reason == ("loss has no reduction `sum`, so there is no gradient of one sample to add up")


def test_every_term_is_looked_at_by_itself() -> None:
    terms = [
        Term(Mse(), "mean", 1e-3, ("a",), {"target": "target"}),
        Term(Declared(), "sum", 1.0, ("a",), {"target": "target"}, name="loss_2"),
    ]
    layers: list[Any] = [("a", Linear(2), ("input",))]
    report = judged(graph({"input": X, "target": TARGET}, layers, terms, checks=ON))
    assert [result(report, k).verdict for k in range(2)] == ["pass", "pass"], told(report)
    assert [result(report, k).measured["term"] for k in range(2)] == ["loss", "loss_2"]


def test_sample_that_rounding_puts_on_another_piece_alone_is_not_held_against_its_batch() -> None:
    """|p - t| at p = t, up to how the product of the batch and that of one sample round."""

    class LastBit(Layer):
        def forward(self, x: Any) -> Any:
            return x + (2.0**-52 if len(x) > 1 else 0.0), None

        def backward(self, dy: Any, cache: Any) -> Any:
            return dy, {}

    x = np.ones((3, 2))
    report = check(Linear(2), LastBit(), x=x, loss=L1(), target=x, parameters={
        "linear_1.weight": np.eye(2), "linear_1.bias": np.zeros(2)}, trusted=True)  # fmt: skip
    (result,) = [result for result in report.checks if result.check == "per_sample"]
    assert result.verdict == "not_applicable", told(report)
    assert "loss lies on a kink within rounding" in result.reason


# Leaks between samples, and the weight that each really got -----------------------------------------------------------


@pytest.mark.parametrize(("n", "step"), [(2, 1), (3, 1), (5, 2), (8, 4), (8, 7)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_leak_is_named_with_both_samples(n: int, step: int, dtype: str) -> None:
    class Shifted(Tanh):
        def backward(self, dy: Any, cache: Any) -> Any:
            dx, gradients = super().backward(dy, cache)
            return dx + 1e-3 * np.roll(dx, step, axis=0), gradients

    report = check(Linear(2), Shifted(), Linear(2), x=normal(n, 3), checks=ON, dtype=dtype)
    (leak,) = [finding for finding in errors(report) if finding.code == "GC302"]
    assert leak.layer == "shifted_1"
    sample = int(leak.message.partition("except in sample ")[2].partition(",")[0])
    reached = int(leak.message.partition("linear_1[")[2].partition(",")[0])
    assert reached == (sample + step) % n, leak.message
    assert result(report).code == "GC302"
    assert result(report).measured == {"layers": ["shifted_1"]}


def test_leak_is_found_beside_a_layer_that_couples_samples() -> None:
    report = check(Linear(3), Centred(), Leaking(), x=X, checks=["per_sample"])
    assert [(f.code, f.layer) for f in errors(report)] == [("GC302", "leaking_1")], told(report)
    assert [check.verdict for check in report.checks] == ["not_applicable", "fail"]


def test_constant_that_is_added_in_backward_is_no_leak() -> None:
    report = check(Linear(3), double(lambda dy: (2 * dy + 1, {})), x=X, checks=["per_sample"])
    assert "GC302" not in {finding.code for finding in errors(report)}, told(report)


def test_weights_that_samples_really_got_are_told() -> None:
    report = check(Linear(2), Tanh(), LastSampleOnly(2), x=X, checks=["per_sample"])
    (finding,) = errors(report)
    assert finding.message.endswith("; samples 0 to 3 count 0, 0, 0 and 1 times"), told(report)
    measured = result(report).measured
    assert measured["weights"] == pytest.approx([0, 0, 0, 1], abs=1e-9)
    assert measured["disagreeing"] == {"tensors": ["last_sample_only_1.weight"], "samples": []}


def test_samples_that_disagree_are_told() -> None:
    class Favourite(Tanh):
        """The second sample of three or more counts twice."""

        def backward(self, dy: Any, cache: Any) -> Any:
            dx, gradients = super().backward(dy, cache)
            return np.where(np.arange(len(dx))[:, None] == (1 if len(dx) > 2 else -1), 2 * dx, dx), gradients

    report = check(Linear(2), Favourite(), Linear(2), x=X, checks=["per_sample"])
    assert result(report).measured["disagreeing"]["samples"] == [1], told(report)
    assert result(report).measured["weights"] == pytest.approx([1, 2, 1, 1])
