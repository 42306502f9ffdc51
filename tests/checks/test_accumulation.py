from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Array, Centred, Declared, Reducing, double, errors, graph, normal, told, verdict, wrong
from support import case, check, judged

from gradcheck.checks._recipes import partitions
from gradcheck.findings import CheckResult, SpecReport
from gradcheck.gradients.analytic import Objective, gradient
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.l1_penalty import L1Penalty
from gradcheck.losses.l2_penalty import L2Penalty
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

X, TARGET = normal(7, 3), normal(7, 2)
ON = ["gradient", "reduction", "per_sample", "accumulation"]


def with_loss(loss: Loss, target: Any = TARGET, **options: Any) -> SpecReport:
    outputs = target.shape[1] if target.ndim > 1 else 3
    return check(Linear(2), Tanh(), Linear(outputs), x=X, loss=loss, target=target, **{"checks": ON, **options})


def result(report: SpecReport, position: int = 0) -> CheckResult:
    return [check for check in report.checks if check.check == "accumulation"][position]


def cut(report: SpecReport, name: str) -> Any:
    return next(facts for facts in result(report).measured["partitions"] if facts["name"] == name)


# How a batch is cut ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", range(2, 60))
def test_every_partition_has_all_samples_and_says_what_it_is(samples: int) -> None:
    found = partitions(samples)
    assert len(set(found.values())) == len(found) >= 1
    for name, sizes in found.items():
        assert sum(sizes) == samples
        assert min(sizes) >= 1
        assert len(sizes) > 1
        assert (len(set(sizes)) == 1) == (name == "equal" or samples == 2 or (name, samples) == ("uneven", 3)), found
        if name == "partial last window":
            assert len(set(sizes[:-1])) == 1
            assert sizes[-1] < sizes[0]


def test_thirteen_samples_are_cut_as_the_books_do() -> None:
    assert partitions(13) == {"uneven": (7, 2, 4), "partial last window": (4, 4, 4, 1), "one alone": (1, 12)}


# Correct networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "batch_mean", "none"])
def test_micro_batches_of_a_correct_network_add_up(reduction: str, dtype: str) -> None:
    report = with_loss(Mse(), reduction=reduction, dtype=dtype)
    assert not report.findings, told(report)
    assert verdict(report, "accumulation") == "pass"
    for facts in result(report).measured["partitions"]:
        assert facts["right"]["error"] < (1e-14 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("loss", [Declared(), Reducing()], ids=["declared", "undeclared"])
def test_reducing_loss_adds_up(loss: Loss, reduction: str) -> None:
    report = with_loss(loss, reduction=reduction)
    assert not report.findings, told(report)
    said = " ".join(result(report).measured["sentences"])
    declared = isinstance(loss, Declared) or reduction == "sum"
    assert ("no divisor is declared for `mean`" in said) != declared


def test_report_says_the_recipe_and_what_the_others_would_be_off_by() -> None:
    (said,) = result(with_loss(Mse())).measured["sentences"]
    right, off = said.split(" samples. ")
    assert right.startswith("Sum the micro-batch losses and divide once by the 14 elements: off by ")
    assert right.endswith(" for 4, 1 and 2")
    by_name = {recipe["recipe"]: f"{100 * recipe['error']:.2g}" for recipe in cut(with_loss(Mse()), "uneven")["wrong"]}
    assert off.startswith(
        f"Averaging the means of micro-batches or ranks would be off by {by_name['mean of means']} %, adding the means "
        "up by "
    )
    (summed, *_) = result(with_loss(Mse(), reduction="sum")).measured["sentences"]
    assert "and divide by nothing: " in summed
    assert (
        "divide once by the 7 samples: off by "
        in result(with_loss(CrossEntropy(), np.arange(7) % 3)).measured["sentences"][0]
    )


def test_equal_micro_batches_may_be_averaged() -> None:
    report = check(Linear(2), x=normal(6, 3), loss=Mse(), target=normal(6, 2), checks=ON)
    by_name = {recipe["recipe"]: recipe["error"] for recipe in cut(report, "equal")["wrong"]}
    assert cut(report, "equal")["samples"] == [3, 3]
    assert by_name["mean of means"] < 1e-14
    assert by_name["sum of means"] == pytest.approx(1)
    assert by_name["partial window"] == pytest.approx(1 / 3)


# The recipe, followed literally ---------------------------------------------------------------------------------------


class TokenMean(Loss):
    """Cross-entropy of the tokens that are not padding (-1); `mean` is over all of them."""

    reductions = ("sum", "mean")

    def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
        shifted = prediction - prediction.real.max(axis=2, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
        one_hot = target[:, :, None] == np.arange(prediction.shape[2])
        share = 1 / self.divisor(target, reduction)
        return -(share * one_hot * log_p).sum(), (log_p, one_hot, share * (target >= 0)[:, :, None])

    def backward(self, upstream: Any, cache: Any) -> Any:
        log_p, one_hot, share = cache
        return upstream * share * (np.exp(log_p) - one_hot)

    def divisor(self, target: Any, reduction: str) -> Any:
        return (target >= 0).sum() if reduction == "mean" else 1


LENGTHS = np.array([6, 1, 5, 2, 6, 3, 4, 1, 2, 6, 1, 1, 5])
TOKENS = np.where(np.arange(6) < LENGTHS[:, None], np.random.default_rng(3).integers(0, 4, (13, 6)), -1)


def by_hand(name: str, k: int, of_sum: list[Array], of_mean: list[Array], counts: list[int]) -> Array:
    """What the report calls by that name, as a training loop would do it."""
    if name == "mean of means":
        return sum(of_mean) / k  # type: ignore[return-value]
    if name == "sum of means":
        return sum(of_mean)  # type: ignore[return-value]
    if name == "divisor of the last window":
        return sum(of_sum) / counts[-1]  # type: ignore[return-value]
    if name == "partial window":
        return sum(of_mean) / (k + 1)  # type: ignore[return-value]
    assert name == "divided by the samples"
    return sum(of_sum) / len(LENGTHS)  # type: ignore[return-value]


def test_recipe_gives_the_gradient_of_the_batch_and_every_other_one_the_error_that_was_predicted() -> None:
    net = case(Linear(5), Tanh(), Linear(4), x=normal(13, 6, 3), loss=TokenMean(), target=TOKENS, checks=ON)
    report = judged(net)
    assert not report.findings, told(report)
    total = int(LENGTHS.sum())
    assert f"divide once by the {total} valid (not negative) targets" in result(report).measured["sentences"][0]

    def of(samples: Any, reduction: str) -> Array:
        found = gradient(net.network, net.point.take(samples), Objective(0, reduction)).gradients
        return np.concatenate([found[name].ravel() for name in net.point.parameters])

    whole = of(range(13), "mean")
    for facts in result(report).measured["partitions"]:
        ends = np.cumsum(facts["samples"])
        parts = [range(end - size, end) for size, end in zip(facts["samples"], ends, strict=True)]
        of_sum, of_mean = ([of(part, reduction) for part in parts] for reduction in ("sum", "mean"))
        counts = [int(LENGTHS[list(part)].sum()) for part in parts]
        assert facts["divisors"] == counts
        assert np.linalg.norm(sum(of_sum) / total - whole) <= 1e-14 * np.linalg.norm(whole)
        for recipe in facts["wrong"]:
            wrongly = by_hand(recipe["recipe"], len(parts), of_sum, of_mean, counts)
            error = np.linalg.norm(wrongly - whole) / np.linalg.norm(whole)
            assert error == pytest.approx(recipe["error"], rel=1e-9), recipe
            assert error > 1e-3


def gradient_of_tokens(weights: list[Array], x: Array, target: Array) -> Array:
    """The gradient of Σ cross-entropy over the tokens that are not -1, for linear, tanh, linear: in numpy alone."""
    w, b, v, c = weights
    y = np.tanh(x @ w + b)
    z = y @ v + c
    p = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    dz = (p - (target[:, :, None] == np.arange(z.shape[2]))) * (target >= 0)[:, :, None]
    da = dz @ v.T * (1 - y**2)
    found = [np.einsum("nti,ntj->ij", x, da), da.sum(axis=(0, 1)), np.einsum("nti,ntj->ij", y, dz), dz.sum(axis=(0, 1))]
    return np.concatenate([g.ravel() for g in found])


def test_recipe_for_tokens_followed_in_numpy_gives_the_gradient_of_the_batch() -> None:
    """Without a line of gradcheck: what the report says is done by hand, and so is what it warns of."""
    x, loss = normal(13, 6, 3), CrossEntropy(ignore_index=-1)
    net = case(Linear(5), Tanh(), Linear(4), x=x, loss=loss, target=TOKENS, checks=["accumulation"])
    measured = result(judged(net)).measured
    assert "divide once by the 43 valid targets" in measured["sentences"][0]
    weights = [net.point.arrays[name] for name in net.point.parameters]
    whole = gradient_of_tokens(weights, x, TOKENS) / 43
    found = gradient(net.network, net.point).gradients
    np.testing.assert_allclose(whole, np.concatenate([found[n].ravel() for n in net.point.parameters]), rtol=1e-11)
    for facts in measured["partitions"]:
        cuts = np.cumsum(facts["samples"])[:-1]
        of_sum = [
            gradient_of_tokens(weights, *part) for part in zip(np.split(x, cuts), np.split(TOKENS, cuts), strict=True)
        ]
        counts = [int((part >= 0).sum()) for part in np.split(TOKENS, cuts)]
        of_mean = [g / count for g, count in zip(of_sum, counts, strict=True)]
        assert np.linalg.norm(sum(of_sum) / 43 - whole) <= 1e-14 * np.linalg.norm(whole)
        for recipe in facts["wrong"]:
            wrongly = by_hand(recipe["recipe"], len(counts), of_sum, of_mean, counts)
            error = np.linalg.norm(wrongly - whole) / np.linalg.norm(whole)
            assert error == pytest.approx(recipe["error"], rel=1e-9), recipe


def test_ranks_that_are_averaged_give_the_gradient_if_each_is_scaled_by_their_number() -> None:
    net = case(Linear(2), x=X, loss=Mse(), target=TARGET, checks=ON)
    whole = gradient(net.network, net.point).gradients["linear_1.weight"]
    shards = [range(3), range(3, 5), range(5, 7)]
    sums = [gradient(net.network, net.point.take(s), Objective(0, "sum")).gradients["linear_1.weight"] for s in shards]
    np.testing.assert_allclose(np.mean([3 * g / TARGET.size for g in sums], axis=0), whole, rtol=1e-13, atol=1e-16)


# Mistakes -------------------------------------------------------------------------------------------------------------


class FullWindow(Declared):
    """Divides by the elements of a full window, as many as this batch has, whatever came."""

    def share(self, target: Any) -> Any:
        return 1 / TARGET.size


class LessOne(Declared):
    """Divides by the elements less one, and says so: only that it is no mean of anything that adds up is wrong."""

    def share(self, target: Any) -> Any:
        return 1 / (target.size - 1)

    def divisor(self, target: Any, reduction: str) -> float:
        return target.size - 1 if reduction == "mean" else 1


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_divisor_of_a_full_window_passes_everything_but_this(reduction: str) -> None:
    report = with_loss(FullWindow(), reduction=reduction)
    assert [verdict(report, name) for name in ON] == ["pass", "pass", "pass", "fail"], told(report)
    assert [(f.code, f.layer) for f in errors(report)] == [("GC402", "loss")]
    said = errors(report)[0].message
    assert "micro-batches of 4, 1 and 2 samples, each times its own divisor (8, 2 and 4)" in said
    assert result(report).code == "GC402"


def test_divisor_that_is_declared_as_it_is_used_adds_up_whatever_it_is() -> None:
    report = with_loss(LessOne())
    assert not errors(report), told(report)


def test_loss_that_compares_samples_does_not_add_up_under_sum() -> None:
    class AgainstTheMean(Declared):
        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            error = prediction - target
            error = error - error.mean(axis=0)
            factor = self.share(target) if reduction == "mean" else 1
            return (factor * error**2).sum(), (error, factor)

    report = with_loss(AgainstTheMean())
    assert verdict(report, "gradient") == "pass"
    assert ("GC401", "loss") in {(f.code, f.layer) for f in errors(report)}, told(report)


def test_layer_that_follows_one_sample_is_named_with_its_parameter() -> None:
    layer = wrong(lambda dx, g: (dx, {**g, "bias": dx[-1, :1].repeat(3)}))
    report = check(Linear(5), layer, x=X, checks=["accumulation"])
    (finding,) = errors(report)
    assert (finding.code, finding.layer, finding.parameter) == ("GC401", "wrong_linear_1", "wrong_linear_1.bias")


# Regularisers ---------------------------------------------------------------------------------------------------------


class Both(Layer):
    """y = x W, and ½ Σ W² for every sample."""

    def init(self, rng: Any, *x_shapes: Any) -> dict[str, Array]:
        return {"weight": rng.standard_normal((x_shapes[0][-1], 2))}

    def forward(self, x: Any, weight: Any) -> Any:
        return (x @ weight, np.full(len(x), (weight * weight).sum() / 2)), (x, weight)

    def backward(self, dy: Any, cache: Any) -> Any:
        (dy, d_penalty), (x, weight) = dy, cache
        return dy @ weight.T, {"weight": x.T @ dy + d_penalty.sum() * weight}


class Penalised(Loss):
    """Squared error and a tenth of the penalty, once in every call; `shared`: in each sample its share."""

    reductions = ("sum", "mean")
    shared = False

    def forward(self, prediction: Any, penalty: Any, target: Any, reduction: str) -> Any:
        divisor = target.size if reduction == "mean" else 1
        share = np.full(len(target), 1 / divisor) if self.shared else np.eye(1, len(target))[0]
        error = prediction - target
        return (error**2).sum() / divisor + 0.1 * (share * penalty).sum(), (error, share, divisor)

    def backward(self, upstream: Any, cache: Any) -> Any:
        error, share, divisor = cache
        return upstream * 2 * error / divisor, upstream * 0.1 * share


class SharedPenalty(Penalised):
    shared = True


def penalised(loss: Loss, x: Array = X, target: Array = TARGET, **options: Any) -> SpecReport:
    return check(Tanh(), Both(), x=x, loss=loss, target=target, **{"checks": ["gradient", "accumulation"], **options})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_regulariser_in_every_call_is_found_and_its_error_predicted(dtype: str) -> None:
    report = penalised(Penalised(), dtype=dtype)
    (finding,) = errors(report)
    assert (finding.code, finding.layer, verdict(report, "gradient")) == ("GC403", "loss", "pass"), told(report)
    net = case(Tanh(), Both(), x=X, loss=Penalised(), target=TARGET)
    whole = gradient(net.network, net.point, Objective(0, "sum")).gradients["both_1.weight"]
    off = 2 * 0.1 * np.linalg.norm(net.point.arrays["both_1.weight"]) / np.linalg.norm(whole)
    assert "and 2 times another one" in finding.message
    assert f"is counted in each of the 3 calls, which is off by {100 * off:.2g} %" in finding.message
    assert not errors(penalised(SharedPenalty(), dtype=dtype))


def test_what_does_not_grow_with_the_cuts_is_no_regulariser() -> None:
    class AgainstTheMean(Penalised):
        def forward(self, prediction: Any, penalty: Any, target: Any, reduction: str) -> Any:
            return super().forward(prediction - prediction.mean(axis=0), penalty, target, reduction)

    assert [finding.code for finding in errors(penalised(AgainstTheMean(), checks=["accumulation"]))] == ["GC401"]
    two = penalised(Penalised(), normal(2, 3), normal(2, 2))
    assert [finding.code for finding in errors(two)] == ["GC401"], "one way to cut a batch proves no rule"


def with_penalties(*losses: Loss, reduction: str = "mean", weight: float = 0.1, strength: float = 0.3) -> Any:
    layers = [("a", Linear(4), ("input",)), ("b", Linear(2), ("a",))]
    terms = [Term(Mse(), reduction, weight, ("b",), {"target": "target"}, name="loss_1")]
    for k, loss in enumerate(losses):
        terms.append(Term(loss, "once", strength, ("a.weight", "b.weight")[: k + 1], {}, name=f"loss_{k + 2}"))
    return graph({"input": X, "target": TARGET}, layers, terms, checks=["accumulation"])


def test_penalty_is_counted_once_and_the_usual_mistakes_are_off_as_predicted() -> None:
    net = with_penalties(L2Penalty())
    report = judged(net)
    penalty = result(report, 1)
    assert (penalty.verdict, report.findings) == ("pass", ())
    names = net.point.parameters

    def flat(found: Any) -> Array:
        return np.concatenate([found.gradients[name].ravel() for name in names])

    whole, r = (
        flat(gradient(net.network, net.point)),
        0.3 * flat(gradient(net.network, net.point, Objective(1, "once"))),
    )
    for facts in penalty.measured["partitions"]:
        k = len(facts["samples"])
        losses = [
            flat(gradient(net.network, net.point.take(range(end - size, end)), Objective(0, "sum")))
            for size, end in zip(facts["samples"], np.cumsum(facts["samples"]), strict=True)
        ]
        of_samples = 0.1 * sum(losses) / TARGET.size
        assert np.linalg.norm(of_samples + r - whole) <= 1e-14 * np.linalg.norm(whole)
        by_name = {
            "once per micro-batch": of_samples + k * r,
            "divided with the losses": of_samples + k * r / TARGET.size,
        }
        assert [recipe["recipe"] for recipe in facts["wrong"]] == list(by_name)
        for recipe in facts["wrong"]:
            error = np.linalg.norm(by_name[recipe["recipe"]] - whole) / np.linalg.norm(whole)
            assert error == pytest.approx(recipe["error"], rel=1e-9)
    (said,) = penalty.measured["sentences"]
    assert said.startswith(
        "loss_2: No loss of samples: add the penalty once, not once per micro-batch, and divide it by "
    )
    assert "In 3 micro-batches adding it in every micro-batch would be off by " in said


def test_under_sum_a_penalty_is_divided_by_nothing_anyhow() -> None:
    cuts = result(judged(with_penalties(L1Penalty(), reduction="sum")), 1).measured["partitions"]
    assert [[recipe["recipe"] for recipe in facts["wrong"]] for facts in cuts] == [["once per micro-batch"]] * len(cuts)


def test_same_penalty_on_one_parameter_twice_is_a_warning() -> None:
    report = judged(with_penalties(L2Penalty(), L2Penalty()))
    (warning,) = report.findings
    assert (warning.code, warning.severity, report.verdict) == ("GC403", "warning", "pass")
    assert warning.message.startswith("loss_3: the same penalty as loss_2 on a.weight, which it counts twice; ")
    assert not judged(with_penalties(L2Penalty(), L1Penalty())).findings


# What cannot be asked -------------------------------------------------------------------------------------------------


def test_batch_of_one_and_coupled_layers_are_not_applicable_with_the_reason() -> None:
    single = check(Linear(2), x=normal(1, 3), checks=["accumulation"])
    assert result(single).reason == "the batch has one sample, which cannot be cut into micro-batches"
    coupled = check(Linear(3), Centred(), x=X, checks=["accumulation"])
    assert result(coupled).reason.startswith("centred_1 couples the samples of a batch (measured)")
    assert {result(single).verdict, result(coupled).verdict} == {"not_applicable"}


def test_loss_without_a_sum_and_backward_without_a_gradient_are_not_applicable() -> None:
    class OnlyMean(Reducing):
        reductions = ("mean",)

    assert result(with_loss(OnlyMean())).reason == "loss has no reduction `sum`, so there is nothing to add up"
    report = check(Linear(3), double(lambda dy: (None, {})), x=X, checks=ON)
    assert result(report).reason == "the backward pass failed at double_1"


def test_micro_batch_without_a_valid_target_leaves_the_recipe_standing() -> None:
    tokens = TOKENS.copy()
    tokens[0] = -1
    net = case(Linear(4), x=normal(13, 6, 3), loss=TokenMean(), target=tokens, checks=ON)
    report = judged(net)
    assert not errors(report), told(report)
    assert cut(report, "one alone")["wrong"] == []
    assert cut(report, "one alone")["right"]["error"] < 1e-14


def test_micro_batches_that_cannot_be_run_are_left_out_with_the_reason() -> None:
    class Several(Tanh):
        def forward(self, x: Any) -> Any:
            if len(x) < 2:
                raise RuntimeError("more than one sample, please")
            return super().forward(x)

    options: dict[str, Any] = {"loss": Mse(), "checks": ["accumulation"]}
    report = check(Linear(3), Several(), Linear(2), x=normal(8, 3), target=normal(8, 2), **options)
    assert not report.findings, told(report)
    assert "right" in cut(report, "equal")
    assert cut(report, "uneven")["reason"] == (
        "micro-batches of 5, 1 and 2 samples cannot be run: several_1: forward raised RuntimeError: "
        "more than one sample, please"
    )


def test_every_term_is_looked_at_by_itself() -> None:
    terms = [
        Term(Mse(), "mean", 1e-3, ("a",), {"target": "target"}),
        Term(FullWindow(), "mean", 1.0, ("a",), {"target": "target"}, name="loss_2"),
        Term(Mse(), "mean", 0.0, ("a",), {"target": "target"}, name="loss_3"),
    ]
    layers: list[Any] = [("a", Linear(2), ("input",))]
    report = judged(graph({"input": X, "target": TARGET}, layers, terms, checks=ON))
    assert [result(report, k).verdict for k in range(3)] == ["pass", "fail", "not_applicable"], told(report)
