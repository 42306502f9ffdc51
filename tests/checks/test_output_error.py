from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Array, errors, graph, normal, told
from msgspec.structs import replace
from support import case, check, judged

from gradcheck.findings import CheckResult, SpecReport
from gradcheck.gradients.analytic import gradient
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.log import Log
from gradcheck.layers.log_softmax import LogSoftmax
from gradcheck.layers.reshape import Reshape
from gradcheck.layers.sigmoid import Sigmoid
from gradcheck.layers.softmax import Softmax
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.bce import Bce
from gradcheck.losses.bce_with_logits import BceWithLogits
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.huber import Huber
from gradcheck.losses.mse import Mse
from gradcheck.losses.nll import Nll
from gradcheck.losses.quadratic import Quadratic
from gradcheck.network import Term

X, TARGET = normal(5, 4), normal(5, 3)
CLASSES = np.array([0, 2, 1, 2, 2])
BINARY = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0]], dtype=float)
SOFT = np.random.default_rng(0).uniform(size=(5, 3))
SHARES = SOFT / SOFT.sum(axis=1, keepdims=True)
ON: dict[str, Any] = {"checks": ("output_error",)}


def result(report: SpecReport) -> CheckResult:
    (found,) = [check for check in report.checks if check.check == "output_error"]
    return found


def of(*layers: Layer, loss: Loss, target: Any, **options: Any) -> SpecReport:
    return check(Linear(3), *layers, x=X, loss=loss, target=target, **{**ON, **options})


def softmax(z: Array) -> Array:
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


ENDS: dict[str, tuple[tuple[Layer, ...], Loss, Any, Any, str]] = {
    "linear + mse": ((), Mse(), TARGET, lambda z: 2 * (z - TARGET) / 15, "2 × (linear_1 - target) / 15"),
    "linear + quadratic": ((), Quadratic(), TARGET, lambda z: (z - TARGET) / 5, "(linear_1 - target) / 5"),
    "softmax + cross_entropy": (
        (), CrossEntropy(), CLASSES, lambda z: (softmax(z) - np.eye(3)[CLASSES]) / 5,
        "(softmax(linear_1) - onehot(target)) / 5",
    ),
    "log_softmax + nll": (
        (LogSoftmax(),), Nll(), CLASSES, lambda z: (softmax(z) - np.eye(3)[CLASSES]) / 5,
        "(softmax(linear_1) - onehot(target)) / 5",
    ),
    "softmax + log + nll": (
        (Softmax(dim=1), Log()), Nll(), CLASSES, lambda z: (softmax(z) - np.eye(3)[CLASSES]) / 5,
        "(softmax(linear_1) - onehot(target)) / 5",
    ),
    "sigmoid + bce": (
        (Sigmoid(),), Bce(), SOFT, lambda z: (sigmoid(z) - SOFT) / 15, "(sigmoid(linear_1) - target) / 15",
    ),
    "sigmoid + bce_with_logits": (
        (), BceWithLogits(), SOFT, lambda z: (sigmoid(z) - SOFT) / 15, "(sigmoid(linear_1) - target) / 15",
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("pair", ENDS)
def test_every_pair_is_recognised_verified_and_shown(pair: str, dtype: str) -> None:
    layers, loss, target, expected, formula = ENDS[pair]
    net = case(Linear(3), *layers, x=X, loss=loss, target=target, dtype=dtype, **ON)
    report = judged(net)
    found = result(report)
    assert (found.verdict, report.findings) == ("pass", ()), told(report)
    assert (found.measured["pair"], found.measured["formula"]) == (pair, formula)
    analytic = gradient(net.network, net.point)
    by_hand = expected(analytic.trace.arrays["linear_1"])
    assert np.abs(analytic.gradients["linear_1"] - by_hand).max() <= {"float64": 1e-15, "float32": 1e-7}[dtype]
    assert (
        found.measured["largest_difference"] <= found.measured["rounding"] < {"float64": 1e-13, "float32": 1e-4}[dtype]
    )
    said = found.measured["sentences"]
    assert said[0].startswith(f"What flows back into linear_1 is {formula}, divided by the ")
    assert said[0].endswith(f": the derivatives of {pair} leave nothing but the error of the output.")


@pytest.mark.parametrize("reduction", ["sum", "mean", "batch_mean", "none"])
@pytest.mark.parametrize(
    ("loss", "target", "words"),
    [
        (Mse(output_weight=(1.0, 0.5, 2.0)), TARGET, "sample_weight × mask × {}output_weight × (linear_1 - target)"),
        (Quadratic(output_weight=(1.0, 0.5, 2.0)), TARGET, "sample_weight × mask × {}output_weight × (linear_1 - "),
        (CrossEntropy(class_weight=(1.0, 0.5, 2.0), ignore_index=1), CLASSES,
         "sample_weight × mask × {}(target not ignored) × class_weight of the target × (softmax(linear_1) - onehot("),
        (CrossEntropy(label_smoothing=0.1), CLASSES, "mask × {}(softmax(linear_1) - smoothed onehot(target))"),
        (CrossEntropy(), SHARES, "mask × {}(softmax(linear_1) - target)"),
        (BceWithLogits(pos_weight=(1.0, 0.5, 2.0)), BINARY, "{}pos_weight of what is 1 × (sigmoid(linear_1) - target)"),
    ],
)  # fmt: skip
def test_weights_masks_and_reductions_are_the_scale(loss: Loss, target: Any, words: str, reduction: str) -> None:
    extra = {"sample_weight": np.array([1.0, 0.0, 2.0, 0.3, 1.5]), "mask": np.array([1.0, 1.0, 1.0, 0.0, 1.0])}
    report = of(loss=loss, target=target, reduction=reduction, extra=extra)
    assert result(report).verdict == "pass", told(report)
    assert words.format("the random vector × " * (reduction == "none")) in result(report).measured["formula"]


def test_weight_of_a_term_is_in_the_scale_and_its_name_before_the_sentence() -> None:
    data = {"input": X, "t": TARGET, "c": CLASSES}
    terms = [
        Term(Mse(), "mean", -0.5, ("a",), {"target": "t"}, name="loss_1"),
        Term(CrossEntropy(), "mean", 2.0, ("b",), {"target": "c"}, name="loss_2"),
        Term(Huber(), "mean", 2.0, ("b",), {"target": "t"}, name="loss_3"),
        Term(Mse(), "mean", 0.0, ("a",), {"target": "t"}, name="loss_4"),
    ]
    layers = [("a", Linear(3), ("input",)), ("b", Linear(3), ("input",))]
    report = judged(graph(data, layers, terms, **ON))
    first, second, last = [check for check in report.checks if check.check == "output_error"]
    assert first.measured["formula"] == "-1 × (a - t) / 15"
    assert second.measured["sentences"][0].startswith(
        "loss_2: What flows back into b is 2 × (softmax(b) - onehot(c)) / 5"
    )
    assert (last.verdict, last.reason) == ("not_applicable", "the weight of loss_4 is 0, so it has no gradient")


def test_classes_may_lie_along_any_axis_and_numbers_in_any_shape() -> None:
    classes = np.array([[0, 2], [1, 1], [2, 0], [0, 0], [1, 2]])
    image = Reshape((3, 2))
    for layers, loss, target in (
        ((image,), CrossEntropy(axis=1, class_weight=(1.0, 0.5, 2.0)), classes),
        ((image,), CrossEntropy(axis=-2, ignore_index=1), classes),
        ((image, LogSoftmax(dim=1)), Nll(axis=1), classes),
        ((image,), BceWithLogits(), np.full((5, 3, 2), 0.3)),
        ((Reshape((6,)), Linear(2)), Mse(), normal(5, 2)),
    ):
        for reduction in ("mean", "none"):
            report = check(Linear(6), *layers, x=X, loss=loss, target=target, reduction=reduction, **ON)
            assert result(report).verdict == "pass", told(report)


def test_saturated_activations_agree_within_rounding() -> None:
    for scale in (30.0, 800.0):
        for layers, loss, target in (((), CrossEntropy(), CLASSES), ((), BceWithLogits(), BINARY)):
            report = check(Linear(3), *layers, x=scale * X, loss=loss, target=target, **ON)
            assert result(report).verdict == "pass", told(report)


# Where the formula is not applied -------------------------------------------------------------------------------------


TWICE = (
    "loss takes the {0} of what it gets, and {0}_1 has taken it before: what flows back there is no difference of its "
    "prediction and the target"
)


@pytest.mark.parametrize(
    ("layers", "loss", "target", "reason"),
    [
        ((Softmax(),), CrossEntropy(), CLASSES, TWICE.format("softmax")),
        ((Sigmoid(),), BceWithLogits(), BINARY, TWICE.format("sigmoid")),
        ((), CrossEntropy(class_weight=(1.0, 0.5, 2.0)), SHARES,
         "class_weight changes a target of several classes itself, and not only its weight"),
        ((), CrossEntropy(class_weight=(1.0, 0.5, 2.0), label_smoothing=0.1), CLASSES,
         "class_weight changes a target of several classes itself, and not only its weight"),
        ((), CrossEntropy(), SOFT, "the probabilities of a target do not add up to 1"),
        ((), BceWithLogits(pos_weight=3.0), SOFT,
         "pos_weight changes a target between 0 and 1 itself, and not only its weight"),
    ],
)  # fmt: skip
def test_what_changes_the_target_itself_is_named(layers: Any, loss: Loss, target: Any, reason: str) -> None:
    report = of(*layers, loss=loss, target=target)
    assert (result(report).verdict, result(report).reason) == ("not_applicable", reason)


def test_softmax_along_another_axis_than_the_classes_is_named() -> None:
    report = check(
        Linear(3), LogSoftmax(dim=1), x=normal(5, 2, 4), loss=Nll(), target=np.zeros((5, 2), dtype=int), **ON
    )
    assert result(report).reason == "log_softmax_1 runs along axis 1 and the classes of loss along axis -1"


def test_activation_that_others_use_is_named() -> None:
    layers = [("z", Linear(3), ("input",)), ("p", Sigmoid(), ("z",)), ("q", Linear(3), ("p",))]
    terms = [
        Term(Bce(), "mean", 1.0, ("p",), {"target": "t"}, name="loss_1"),
        Term(Mse(), "mean", 1.0, ("q",), {"target": "t"}, name="loss_2"),
    ]
    first, second = judged(graph({"input": X, "t": BINARY}, layers, terms, **ON)).checks
    assert first.reason == "p is used by q and loss_1, so more than this error flows back through it"
    assert second.verdict == "pass"


@pytest.mark.parametrize(
    ("layers", "loss"), [((Tanh(),), Mse()), ((), Huber()), ((Tanh(),), Bce()), ((LogSoftmax(), Tanh()), Nll())]
)
def test_nothing_is_said_about_other_ends(layers: Any, loss: Loss) -> None:
    target = CLASSES if isinstance(loss, Nll) else 0 * TARGET if isinstance(loss, Bce) else TARGET
    x = np.abs(X) if isinstance(loss, Bce) else X
    parameters = {"linear_1.weight": np.full((4, 3), 0.1), "linear_1.bias": np.zeros(3)}
    report = check(Linear(3), *layers, x=x, loss=loss, target=target, parameters=parameters, **ON)
    assert not report.checks
    assert not report.findings


# Mistakes -------------------------------------------------------------------------------------------------------------


class Halved(Mse):
    """Without the factor 2."""

    def backward(self, upstream: Array, cache: Any) -> Any:
        return super().backward(upstream, cache) / 2


class Prediction(CrossEntropy):
    """p instead of p - y."""

    def backward(self, upstream: Array, cache: Any) -> Any:
        log_q, _, _ = cache
        return upstream[:, None] * np.exp(log_q)


class Nudged(BceWithLogits):
    """One entry off by a part in 10⁹."""

    def backward(self, upstream: Array, cache: Any) -> Any:
        found = super().backward(upstream, cache)
        found[2, 1] *= 1 + 1e-9
        return found


class SlopeOfOne(Sigmoid):
    """A sigmoid whose backward forgets its slope."""

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy, {}


class ByTheSamples(Mse):
    """A mean that divides by the samples, as its divisor does not say."""

    def backward(self, upstream: Array, cache: Any) -> Any:
        return super().backward(upstream * 3, cache)


@pytest.mark.parametrize(
    ("layers", "loss", "target", "guilty"),
    [
        ((), Halved(), TARGET, "loss"),
        ((), Prediction(), CLASSES, "loss"),
        ((), Nudged(), BINARY, "loss"),
        ((), ByTheSamples(), TARGET, "loss"),
        ((SlopeOfOne(),), Bce(), BINARY, "slope_of_one_1"),
    ],
)
def test_wrong_backward_is_found_by_the_formula_alone(layers: Any, loss: Loss, target: Any, guilty: str) -> None:
    report = of(*layers, loss=loss, target=target)
    (finding,) = errors(report)
    assert (finding.code, finding.layer) == ("GC204", guilty)
    assert f"{guilty}: the gradient at linear_1 should be the error of the output, " in finding.message
    assert result(report).verdict == report.verdict == "fail"


def test_finding_says_where_and_by_how_much() -> None:
    (finding,) = errors(of(loss=Nudged(), target=BINARY))
    assert ": at linear_1[2, 1] backward says " in finding.message
    assert finding.message.endswith("; 1 of 15 entries are wrong")


def test_directions_change_nothing() -> None:
    net = case(Linear(3), x=X, loss=CrossEntropy(), target=CLASSES, **ON)
    net = replace(net, gradient=replace(net.gradient, directions=2))
    assert result(judged(net)).verdict == "pass"


def test_backward_that_failed_is_the_reason() -> None:
    class Forgets(Mse):
        def backward(self, upstream: Array, cache: Any) -> Any:
            return None

    assert result(of(loss=Forgets(), target=TARGET)).reason == "the backward pass failed at loss"
