"""Units that float32 and float64 put on different pieces: at a kink as far as anybody can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from core_nets import blamed, errors, normal, relu_with, told, wrong
from support import case, check

from gradcheck.findings import SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.elu import Elu
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.leaky_relu import LeakyRelu
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.selu import Selu
from gradcheck.layers.sigmoid import Sigmoid
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.poisson_nll import PoissonNll
from gradcheck.maths import side

X = normal(4, 3)
methods = pytest.mark.parametrize("method", ["auto", "central"])
black_or_telling = pytest.mark.parametrize("black_box", [True, False], ids=["black box", "telling"])


def absolute(change: Callable[[Any, Any], Any] = lambda gradient, error: gradient, black_box: bool = False) -> Loss:
    """|p - t|, whose backward says change(gradient, p - t)."""

    class Absolute(Loss):
        def forward(self, prediction: Any, target: Any) -> Any:
            error = prediction - target
            return np.sign(error.real) * error, error

        def backward(self, upstream: Any, error: Any) -> Any:
            return change(upstream * np.sign(error), error)

    class Telling(Absolute):
        def branches(self, prediction: Any, target: Any) -> Any:
            return side(prediction - target)

    return Absolute() if black_box else Telling()


def tied(last: Layer, loss: Loss, method: str) -> SpecReport:
    """Half of the targets equal the predictions, but for what float32 rounds."""
    layers = (Linear(4), Tanh(), last)
    net = case(*layers, x=X, dtype="float32")
    prediction = net.network.forward(net.point).arrays[net.network.nodes[-1].outputs[0]]
    rng = np.random.default_rng(3)
    target = np.where(rng.random(prediction.shape) < 0.5, prediction, rng.standard_normal(prediction.shape))
    return check(*layers, x=X, loss=loss, target=target, dtype="float32", method=method, checks=["gradient"])


def cancelled(layer: Layer, method: str, last: Layer | None = None) -> SpecReport:
    """Three units of the layer get what is 0 but for rounding: a bias that cancels the sum before it."""
    arrays = case(Linear(4), x=X, dtype="float32").point.arrays
    sums = arrays["input"] @ arrays["linear_1.weight"]
    own = {
        "linear_1.weight": arrays["linear_1.weight"],
        "linear_1.bias": np.array([*-np.diag(sums)[:3], arrays["linear_1.bias"][3]]),
    }
    layers = (Linear(4), layer, last or Linear(3))
    return check(*layers, x=X, dtype="float32", method=method, parameters=own, checks=["gradient"])


# Correct: nothing to say ----------------------------------------------------------------------------------------------


@methods
@black_or_telling
def test_target_that_is_the_prediction_up_to_rounding(method: str, black_box: bool) -> None:
    report = tied(Linear(3), absolute(black_box=black_box), method)
    assert not report.findings, told(report)
    assert report.counts.inconclusive == 0, told(report)
    assert report.counts.kink > 0, told(report)


@methods
@pytest.mark.parametrize(
    "layer",
    [Relu(), LeakyRelu(0.1), Elu(2.0), relu_with(0.0, black_box=True)],
    ids=["relu", "leaky_relu", "elu", "black box"],
)
def test_input_that_is_zero_up_to_rounding(layer: Layer, method: str) -> None:
    report = cancelled(layer, method)
    assert not report.findings, told(report)
    assert report.counts.inconclusive == 0, told(report)
    assert 0 < report.counts.kink < report.counts.total, told(report)


@methods
def test_pixels_that_are_tied_up_to_rounding(method: str) -> None:
    kernel = normal(2, seed=1).astype(np.float32).astype(float)
    x = normal(3, 2, 4, 4).astype(np.float32).astype(float)
    y = np.einsum("nchw,c->nhw", x, kernel)
    x[:, 1, :, 1::2] = ((y[:, :, ::2] - kernel[0] * x[:, 0, :, 1::2]) / kernel[1]).astype(np.float32)
    own = {"conv2d_1.weight": kernel.reshape(1, 2, 1, 1)}
    layers = (Conv2d(1, 1, bias=False), MaxPool2d(2), Flatten(), Linear(3))
    report = check(*layers, x=x, dtype="float32", method=method, parameters=own, checks=["gradient"])
    assert not report.findings, told(report)
    assert report.counts.inconclusive == 0, told(report)
    assert report.counts.kink > 0, told(report)


# Wrong: not hidden ----------------------------------------------------------------------------------------------------


@black_or_telling
@pytest.mark.parametrize("factor", [-3, 1.01])
def test_wrong_loss_beside_its_own_ties(factor: float, black_box: bool) -> None:
    report = tied(Linear(3), absolute(lambda gradient, error: factor * gradient, black_box), "auto")
    assert blamed(report) == [("loss", None)], told(report)
    assert report.counts.passed + report.counts.kink == 0, told(report)


@pytest.mark.parametrize(("factor", "method"), [(-3, "auto"), (1.01, "central")])
def test_wrong_layer_in_front_of_ties(factor: float, method: str) -> None:
    back = tied(wrong(lambda dx, g: (factor * dx, g)), absolute(), method)
    assert blamed(back) == [("wrong_linear_1", None)], told(back)
    own = tied(wrong(lambda dx, g: (dx, {**g, "weight": factor * g["weight"]})), absolute(), method)
    assert blamed(own) == [("wrong_linear_1", "wrong_linear_1.weight")], told(own)


@pytest.mark.parametrize(("factor", "code"), [(1.0, None), (0.0, None), (-1.0, "GC114"), (1.5, "GC114")])
def test_wrong_only_where_the_target_is_tied(factor: float, code: str | None) -> None:
    loss = absolute(lambda gradient, error: np.where(np.abs(error) < 1e-6, factor * gradient, gradient))
    report = tied(Linear(3), loss, "auto")
    assert [finding.code for finding in errors(report)] == [code] * (code is not None), told(report)


@pytest.mark.parametrize(("slope", "guilty"), [(0.0, []), (0.5, []), (1.0, []), (-3.0, ["GC114"]), (1.2, ["GC114"])])
def test_slope_beside_zero(slope: float, guilty: list[str]) -> None:
    class BesideZero(Relu):
        def forward(self, x: Any) -> Any:
            return super().forward(x)

        def backward(self, dy: Any, cache: Any) -> Any:
            return np.where(np.abs(cache) < 1e-5, slope * dy, super().backward(dy, cache)[0]), {}

        def branches(self, x: Any) -> Any:
            return side(x)

    report = cancelled(BesideZero(), "auto")
    assert [finding.code for finding in errors(report)] == guilty, told(report)


def test_wrong_layer_behind_a_kink_by_rounding() -> None:
    report = cancelled(Relu(), "auto", wrong(lambda dx, g: (1.01 * dx, g)))
    assert blamed(report) == [("wrong_linear_1", None)], told(report)


@pytest.mark.parametrize("method", ["auto", "central"])
def test_loss_whose_slope_cancels_is_not_wrong_alone(method: str) -> None:
    """1 - t / (p + eps) is 2e-8 where the target is the prediction: nine of its digits are rounding."""
    x = np.maximum(np.random.default_rng(0).standard_normal((8, 40)), 0)
    p = Sigmoid().forward(Selu().forward(x)[0])[0]
    target = np.where(np.random.default_rng(1).random(p.shape) < 0.5, p, np.abs(p - 0.3))
    report = check(Selu(), Sigmoid(), x=x, loss=PoissonNll(log_input=False), target=target, method=method)
    assert not errors(report), told(report)
