from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Declared, Reducing, double, errors, graph, normal, told, verdict, wrong
from msgspec.structs import replace
from support import check, judged

from gradcheck.findings import CheckResult, SpecReport
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.bce_with_logits import BceWithLogits
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.losses.wasserstein_generator import WassersteinGenerator
from gradcheck.network import Term

X, TARGET = normal(4, 3), normal(4, 2)
ON = ["gradient", "reduction"]


def with_loss(loss: Loss, target: Any = TARGET, **options: Any) -> SpecReport:
    outputs = target.shape[1] if target.ndim > 1 else 3
    return check(Linear(2), Tanh(), Linear(outputs), x=X, loss=loss, target=target, **{"checks": ON, **options})


def result(report: SpecReport, position: int = 0) -> CheckResult:
    return [check for check in report.checks if check.check == "reduction"][position]


def sentences(report: SpecReport) -> list[str]:
    return list(result(report).measured["sentences"])


def codes(report: SpecReport) -> set[tuple[str, str]]:
    return {(finding.code, finding.layer) for finding in errors(report)}


# The elementwise form -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "batch_mean", "none"])
def test_elementwise_loss_passes_with_the_ratios_of_its_shape(reduction: str, dtype: str) -> None:
    report = with_loss(Mse(), reduction=reduction, dtype=dtype)
    measured = result(report).measured["reductions"]
    accuracy = 1e-14 if dtype == "float64" else 1e-6
    assert not report.findings, told(report)
    for name, divisor in (("mean", 8), ("batch_mean", 4)):
        facts = measured[name]
        assert (facts["verdict"], facts["expected"]) == ("pass", divisor)
        for ratio in ("value_ratio", "analytic_ratio", "numeric_ratio"):
            assert facts[ratio] == pytest.approx(divisor, rel=accuracy)
        assert 0 <= facts["analytic_spread"] < accuracy
        assert 0 <= facts["numeric_spread"] < 1e-14


RARE = (1.0, 0.5, 3.0)
WEIGHTS = {"sample_weight": np.array([1.0, 2.0, 0.5, 3.0]), "mask": np.array([1, 1, 0, 1])}


@pytest.mark.parametrize(
    ("loss", "given", "mean", "batch_mean"),
    [
        (Mse(), ["sample_weight"], "8 = the losses, whatever their weights", "4 = the samples, whatever their weights"),
        (Mse(mean_over="weights"), ["sample_weight"], "13 = the sum of the weights of the losses",
         "6.5 = the sum of the weights of the samples"),
        (Mse(), ["mask"], "6 = the losses that the mask keeps", "4 samples"),
        (Mse(mean_over="weights", output_weight=(2.0, 0.5)), ["sample_weight", "mask"],
         "15 = the sum of the weights of the losses that the mask keeps",
         "6.5 = the sum of the weights of the samples"),
        (Mse(output_weight=(2.0, 0.5)), [], "8 = the losses, whatever their weights", "4 samples"),
    ],
)  # fmt: skip
def test_both_conventions_of_a_weighted_mean_are_named(
    loss: Loss, given: list[str], mean: str, batch_mean: str
) -> None:
    report = with_loss(loss, extra={name: WEIGHTS[name] for name in given}, checks=["reduction"])
    assert not report.findings, told(report)
    said = " ".join(sentences(report))
    assert f"sum / mean: expected {mean}, measured" in said
    assert f"sum / batch_mean: expected {batch_mean}, measured" in said


@pytest.mark.parametrize(
    ("loss", "divisor"),
    [
        (CrossEntropy(), "3 = the valid targets"),
        (CrossEntropy(class_weight=RARE), "4.5 = the sum of the class weights of the valid targets"),
        (CrossEntropy(class_weight=RARE, mean_over="losses"), "3 = the valid targets, whatever their weights"),
        (CrossEntropy(class_weight=RARE, mean_over="weights"), "11 = the sum of the weights of the valid targets"),
    ],
)  # fmt: skip
def test_a_mean_over_targets_names_those_that_count(loss: Loss, divisor: str) -> None:
    weights = {"sample_weight": WEIGHTS["sample_weight"]} if getattr(loss, "mean_over", "") == "weights" else {}
    report = with_loss(loss, np.array([0, 1, -100, 2]), extra=weights, checks=["reduction"])
    assert not report.findings, told(report)
    assert f"sum / mean: expected {divisor}, measured" in sentences(report)[0]


def test_sentences_say_what_was_expected_measured_and_what_it_means() -> None:
    first, step, second, last = sentences(with_loss(Mse()))
    assert first.startswith("sum / mean: expected 8 = 4 samples × 2 outputs, measured 8 (")
    assert step.startswith(
        "A step under `sum` is 8 times as long as under `mean`: divide the learning rate by 8 when you change to `sum`."
    )
    assert second.startswith("sum / batch_mean: expected 4 samples, measured 4 (")
    assert "linear in the upstream gradient, and nothing more" in last


def test_positions_of_a_sequence_are_counted() -> None:
    x, target = normal(3, 4, 2), np.zeros((3, 4), dtype=int)
    report = check(Linear(5), x=x, loss=CrossEntropy(), target=target, checks=ON)
    assert sentences(report)[0].startswith("sum / mean: expected 12 = 3 samples × 4 ")


@pytest.mark.parametrize(("loss", "target"), [
    (L1(), TARGET), (BceWithLogits(), (TARGET > 0).astype(float)), (CrossEntropy(), np.array([0, 2, 1, 1])),
])  # fmt: skip
def test_every_loss_passes(loss: Loss, target: Any) -> None:
    report = with_loss(loss, target)
    assert not report.findings, told(report)


def test_weights_of_samples_do_not_change_what_the_mean_divides_by() -> None:
    weight = np.array([0.0, 1.0, 2.5, 10.0])
    report = check(Linear(2), x=X, loss=Mse(), target=TARGET, extra={"sample_weight": weight}, checks=ON)
    assert not report.findings, told(report)
    assert result(report).measured["reductions"]["mean"]["analytic_ratio"] == pytest.approx(8)


def test_backward_that_is_not_linear_in_its_upstream_gradient_breaks_the_ratio() -> None:
    class Clipped(Mse):
        def backward(self, upstream: Any, cache: Any) -> Any:
            return np.clip(super().backward(upstream, cache), -0.5, 0.5)

    report = with_loss(Clipped(), reduction="mean")
    assert ("GC201", "loss") in codes(report), told(report)
    assert verdict(report, "reduction") == "fail"


def test_layer_that_is_not_linear_breaks_the_ratio_and_is_named() -> None:
    report = check(Linear(3), double(lambda dy: (2 * np.sign(dy) * dy**2, {})), x=X, checks=ON)
    assert ("GC201", "double_1") in codes(report), told(report)


def test_of_two_roads_from_one_activation_the_one_that_is_not_linear_is_named() -> None:
    layers = [
        ("stem", Linear(2), ("input",)),
        ("double", double(lambda dy: (2 * np.sign(dy) * dy**2, {})), ("stem",)),
        ("sum", Add(), ("double", "stem")),
    ]
    term = Term(Mse(), "mean", 1.0, ("sum",), {"target": "target"})
    report = judged(graph({"input": X, "target": TARGET}, layers, [term], checks=ON))
    assert ("GC201", "double") in codes(report), told(report)
    assert {layer for code, layer in codes(report) if code == "GC201"} == {"double"}, told(report)


def test_one_tensor_of_many_that_is_not_linear_breaks_the_ratio() -> None:
    layer = wrong(lambda dx, g: (dx, {**g, "bias": g["bias"] * np.abs(g["bias"])}))
    report = check(Linear(3), layer, x=X, checks=ON)
    assert ("GC201", "wrong_linear_1") in codes(report), told(report)


# The reducing form ----------------------------------------------------------------------------------------------------


class PerSample(Reducing):
    """Divides by the samples where the outputs count too."""

    def share(self, target: Any) -> Any:
        return 1 / len(target)


class MeanOfMeans(Reducing):
    """Positive and negative targets are averaged by themselves, then the two means."""

    def share(self, target: Any) -> Any:
        positive = target > 0
        return np.where(positive, 1 / positive.sum(), 1 / (~positive).sum()) / 2


class Valid(Loss):
    """A squared error over the targets that are not NaN; `counted` says by what the mean divides."""

    reductions = ("sum", "mean")

    def counted(self, target: Any) -> float:
        return float((~np.isnan(target)).sum())

    def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
        error = np.where(np.isnan(target), 0, prediction - np.nan_to_num(target))
        share = 1 / self.counted(target) if reduction == "mean" else 1.0
        return (share * error**2).sum(), (error, share)

    def backward(self, upstream: Any, cache: Any) -> Any:
        error, share = cache
        return 2 * upstream * share * error


class AllCounted(Valid):
    """Ignored targets are counted as if they were valid."""

    def counted(self, target: Any) -> float:
        return float(target.size)


def declare(loss: type[Loss], divisor: Any) -> Loss:
    """The loss with its divisor declared."""

    class With(loss):  # type: ignore[misc, valid-type]
        def divisor(self, target: Any, reduction: str) -> Any:
            return divisor(target) if reduction == "mean" else 1

    return With()


def elements(target: Any) -> int:
    return int(target.size)


def valid(target: Any) -> int:
    return int((~np.isnan(target)).sum())


HOLES = TARGET.copy()
HOLES[1, 0] = HOLES[3, :] = np.nan
RIGHT: dict[str, tuple[Loss, Any]] = {
    "declared": (Declared(), TARGET),
    "undeclared": (Reducing(), TARGET),
    "per sample, as declared": (declare(PerSample, len), TARGET),
    "holes, declared": (declare(Valid, valid), HOLES),
    "holes, undeclared": (Valid(), HOLES),
}
WRONG: dict[str, tuple[Loss, Any]] = {
    "divided by the samples": (declare(PerSample, elements), TARGET),
    "ignored targets counted": (declare(AllCounted, valid), HOLES),
    "mean of means, declared": (declare(MeanOfMeans, elements), TARGET),
    "mean of means, undeclared": (MeanOfMeans(), TARGET),
}


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("loss", "target"), RIGHT.values(), ids=RIGHT)
def test_right_reducing_loss_passes_under_every_reduction(loss: Loss, target: Any, reduction: str, dtype: str) -> None:
    report = with_loss(loss, target, reduction=reduction, dtype=dtype)
    assert not report.findings, told(report)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(("loss", "target"), WRONG.values(), ids=WRONG)
def test_mistake_made_in_forward_and_backward_alike_passes_the_gradient_and_fails_here(
    loss: Loss, target: Any, reduction: str
) -> None:
    report = with_loss(loss, target, reduction=reduction)
    assert verdict(report, "gradient") == "pass", told(report)
    assert verdict(report, "reduction") == "fail", told(report)
    assert report.verdict == "fail"
    assert codes(report) <= {("GC201", "loss"), ("GC202", "loss")}, told(report)
    assert ("GC201", "loss") in codes(report), told(report)


def test_finding_says_what_was_expected_and_what_the_measured_ratio_fits() -> None:
    report = with_loss(*WRONG["divided by the samples"])
    (finding,) = errors(report)
    assert finding.message == (
        "loss: both gradients under `sum` should be 8 = the elements of the prediction times the one under `mean`; "
        "measured 4 (analytic) and 4 (numeric), which fits the samples"
    )
    facts = result(report).measured["reductions"]["mean"]
    assert (facts["expected"], facts["verdict"]) == (8, "fail")
    assert facts["value_ratio"] == pytest.approx(4)
    assert result(report).code == "GC201"


def test_undeclared_divisor_gets_no_verdict_against_a_name_but_all_names_that_fit() -> None:
    report = with_loss(Valid(), HOLES)
    facts = result(report).measured["reductions"]["mean"]
    assert facts["expected"] is None
    assert facts["fits"] == ["the valid (not NaN) targets"]
    assert sentences(report)[0].startswith("sum / mean: no divisor is declared; measured 5 (")
    assert "which fits the valid (not NaN) targets" in sentences(report)[0]
    assert with_loss(PerSample()).verdict == "pass", "no name is expected where none is declared"


def test_divisor_may_be_a_sum_of_weights() -> None:
    class Weighted(Loss):
        reductions = ("sum", "mean")

        def forward(self, prediction: Any, target: Any, sample_weight: Any, reduction: str) -> Any:
            share = sample_weight[:, None] / (sample_weight.sum() if reduction == "mean" else 1)
            return (share * (prediction - target) ** 2).sum(), (prediction - target, share)

        def backward(self, upstream: Any, cache: Any) -> Any:
            error, share = cache
            return 2 * upstream * share * error

    extra = {"sample_weight": np.array([0.5, 1.0, 2.0, 0.25])}
    report = check(Linear(2), x=X, loss=Weighted(), target=TARGET, extra=extra, checks=ON)
    assert not report.findings, told(report)
    assert result(report).measured["reductions"]["mean"]["fits"] == ["the sum of `sample_weight`"]


def test_wrong_value_with_right_gradients_has_a_code_of_its_own() -> None:
    class Shifted(Declared):
        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            value, cache = super().forward(prediction, target, reduction)
            return value + (0.125 if reduction == "mean" else 0), cache

    report = with_loss(Shifted())
    assert codes(report) == {("GC202", "loss")}, told(report)
    assert verdict(report, "gradient") == "pass"
    assert verdict(report, "reduction") == "fail"


def test_wrong_ratio_of_the_analytic_side_alone_names_that_side() -> None:
    class Undivided(Declared):
        def backward(self, upstream: Any, cache: Any) -> Any:
            return 2 * upstream * cache[0]

    report = with_loss(Undivided(), reduction="sum")
    assert verdict(report, "gradient") == "pass", told(report)
    (finding,) = errors(report)
    assert finding.message.startswith("loss: the analytic gradient under `sum` should be 8 = ")


class Critic(Loss):
    """Σ t p, whose terms have both signs and can cancel."""

    reductions = ("sum", "mean")

    def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
        share = 1 / prediction.size if reduction == "mean" else 1.0
        return (prediction * target * share).sum(), target * share

    def backward(self, upstream: Any, cache: Any) -> Any:
        return upstream * cache


@pytest.mark.parametrize("loss", [Critic(), declare(Critic, elements)], ids=["undeclared", "declared"])
@pytest.mark.parametrize("left", [0.0, 1e-9, 1e-3])
def test_loss_whose_terms_cancel_has_room_for_their_rounding(loss: Loss, left: float) -> None:
    x = np.concatenate([X, X])
    x[0] *= 1 + left
    target = np.concatenate([np.ones((4, 5)), -np.ones((4, 5))])
    report = check(Linear(5), x=x, loss=loss, target=target, checks=ON)
    assert not errors(report), told(report)


@pytest.mark.parametrize("divisor", [0, -1, np.nan, np.inf])
def test_divisor_that_is_no_positive_number_is_a_finding_about_the_loss(divisor: float) -> None:
    class Odd(Mse):
        def divisor(self, target: Any, reduction: str) -> float:
            return divisor

    report = with_loss(Odd())
    assert {finding.layer for finding in errors(report)} == {"loss"}, told(report)
    assert report.verdict == "fail"


# What cannot be asked -------------------------------------------------------------------------------------------------


def test_loss_with_one_reduction_is_not_applicable_with_the_reason() -> None:
    class OnlyMean(Reducing):
        reductions = ("mean",)

    report = with_loss(OnlyMean())
    assert result(report).verdict == "not_applicable"
    assert result(report).reason == "loss offers only mean; two reductions, one of them `sum`, can be compared"
    assert report.verdict == "pass"


def test_backward_that_gave_nothing_usable_is_not_applicable_with_the_reason() -> None:
    report = check(Linear(3), double(lambda dy: (None, {})), x=X, checks=ON)
    assert result(report).verdict == "not_applicable"
    assert result(report).reason == "the backward pass failed at double_1"


def test_gradients_that_are_all_zero_have_no_ratio() -> None:
    class Nothing(Mse):
        def forward(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
            return 0 * prediction, prediction

        def backward(self, upstream: Any, cache: Any) -> Any:
            return 0 * cache

    report = with_loss(Nothing())
    assert verdict(report, "reduction") == "pass", told(report)
    assert "all gradients are zero, so there is no ratio to measure" in sentences(report)[0]


def test_every_term_has_a_result_of_its_own_and_says_which() -> None:
    terms = [
        Term(Mse(), "mean", 1.0, ("a",), {"target": "target"}),
        Term(WRONG["divided by the samples"][0], "mean", 0.01, ("a",), {"target": "target"}, name="loss_2"),
        Term(L1(), "sum", 100.0, ("a",), {"target": "target"}, name="loss_3"),
    ]
    layers: list[Any] = [("a", Linear(2), ("input",))]
    report = judged(graph({"input": X, "target": TARGET}, layers, terms, checks=ON))
    assert [result(report, k).verdict for k in range(3)] == ["pass", "fail", "pass"], told(report)
    assert [result(report, k).measured["term"] for k in range(3)] == ["loss", "loss_2", "loss_3"]
    (finding,) = errors(report)
    assert finding.message.startswith("loss_2: both gradients under `sum` should be 8")


@pytest.mark.parametrize("seed", [5, 23])
def test_rounding_of_the_mean_counts_where_the_sum_is_exact(seed: int) -> None:
    """Sums of signs are whole numbers, and exact; their mean adds up 1 / 1,260, which is rounded."""
    x, target = normal(7, 60, 2, seed=seed), normal(7, 60, 3, seed=seed + 100)
    report = check(Linear(3), x=x, loss=L1(), target=target, reduction="none", seed=seed)
    assert not report.findings, told(report)


def test_term_without_weight_has_no_gradient_to_hold_against_another() -> None:
    data = {"input": normal(5, 3), "target": normal(5, 2)}
    terms = [
        Term(Mse(), "mean", weight, (head,), {"target": "target"}, name=name)
        for head, weight, name in (("a", 1.0, "loss_1"), ("b", 0.0, "loss_2"))
    ]
    report = judged(graph(data, [("a", Linear(2), ("input",)), ("b", Linear(2), ("input",))], terms))
    assert not errors(report), told(report)
    for name in ("reduction", "per_sample"):
        weighted, without = (result for result in report.checks if result.check == name)
        assert weighted.verdict == "pass"
        assert (without.verdict, without.reason) == (
            "not_applicable", "the weight of loss_2 is 0, so it has no gradient",
        )  # fmt: skip


class Weighted(Loss):
    """Σ w (p - t)²; `mean` divides by the sum of the weights, or by their number."""

    reductions = ("sum", "mean")
    by_number = False

    def total(self, sample_weight: Any) -> Any:
        return len(sample_weight) if self.by_number else sample_weight.sum()

    def forward(self, prediction: Any, target: Any, sample_weight: Any, reduction: str) -> Any:
        share = sample_weight[:, None] / (self.total(sample_weight) if reduction == "mean" else 1)
        return (share * (prediction - target) ** 2).sum(), (prediction - target, share)

    def backward(self, upstream: Any, cache: Any) -> Any:
        error, share = cache
        return 2 * upstream * share * error


@pytest.mark.parametrize(("by_number", "declared_by_number", "expected"), [
    (False, False, set()), (True, True, set()), (True, False, {("GC203", "loss")}), (False, True, {("GC203", "loss")}),
])  # fmt: skip
def test_two_conventions_of_a_weighted_mean_are_told_apart(
    by_number: bool, declared_by_number: bool, expected: set[tuple[str, str]]
) -> None:
    class Declaring(Weighted):
        def divisor(self, sample_weight: Any, reduction: str) -> Any:
            if reduction == "sum":
                return 1
            return len(sample_weight) if declared_by_number else sample_weight.sum()

    loss: Any = Declaring()
    type(loss).by_number = by_number
    extra = {"sample_weight": np.array([0.5, 1.0, 2.0, 0.25])}
    report = check(Linear(2), x=X, loss=loss, target=TARGET, extra=extra, checks=ON)
    assert codes(report) == expected, told(report)
    assert verdict(report, "gradient") == "pass"


def test_weights_of_the_classes_of_the_targets_are_a_name() -> None:
    class ByClass(Loss):
        reductions = ("sum", "mean")

        def forward(self, prediction: Any, target: Any, weight: Any, reduction: str) -> Any:
            w = weight[target]
            chosen = np.take_along_axis(prediction, target[:, None], 1)[:, 0]
            share = w / (w.sum() if reduction == "mean" else 1)
            return (share * chosen**2).sum(), (prediction.shape, target, 2 * share * chosen)

        def backward(self, upstream: Any, cache: Any) -> Any:
            shape, target, slope = cache
            gradient = np.zeros(shape)
            gradient[np.arange(len(target)), target] = upstream * slope
            return gradient

    data = {"input": X, "target": np.array([0, 2, 2, 1]), "weight": np.array([0.5, 1.0, 4.0])}
    layers: list[Any] = [("a", Linear(3), ("input",))]
    term = Term(ByClass(), "mean", 1.0, ("a",), {"target": "target", "weight": "weight"})
    net = graph(data, layers, [term], checks=ON)
    net = replace(net, point=replace(net.point, batched=net.point.batched - {"weight"}))
    facts = result(judged(net)).measured["reductions"]["mean"]
    assert facts["fits"] == ["the sum of `weight` over the targets"]


def test_differences_of_losses_that_are_zero_are_added_up_with_rounding() -> None:
    """Nothing moves but one entry, and nothing is rounded but the sums under each reduction."""
    report = check(
        Linear(3, bias=False), x=np.zeros((2, 8, 12)), loss=WassersteinGenerator(), reduction="none", method="central",
        seed=0,
    )  # fmt: skip
    assert not [finding.code for finding in report.findings if finding.severity == "error"]
