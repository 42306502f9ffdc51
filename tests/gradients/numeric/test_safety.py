from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Declared, PairMax, errors, normal, plug, relu_with, row, told
from support import case, check

from gradcheck.errors import UsageError
from gradcheck.gradients.numeric.safety import unsafe
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.selu import Selu
from gradcheck.layers.softmax import Softmax
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.spec.case import Case

X = normal(4, 3)


def reasons(net: Case) -> dict[str, str]:
    return unsafe(net.network, net.network.forward(net.point).arrays)


def _buffer(x: Any) -> Any:
    y = np.empty(x.shape)
    y[...] = x * x
    return y


def _one_column_real(x: Any) -> Any:
    y = x * x
    y[:, 1] = np.abs(x[:, 1]) ** 2
    return y


#: What numpy gets wrong for complex numbers without a word, with the right slope.
LOST: dict[str, tuple[Any, Any]] = {
    "abs": (np.abs, np.sign),
    "a cast": (lambda x: (x * x).astype(float), lambda x: 2 * x),
    "real": (lambda x: x.real**2, lambda x: 2 * x),
    "a float buffer": (_buffer, lambda x: 2 * x),
    "var": (lambda x: x * 0 + (x - 1).var(axis=1, keepdims=True), None),
    "norm": (lambda x: x * 0 + np.linalg.norm(x, axis=1, keepdims=True), None),
    "sign": (lambda x: x * np.sign(x), np.sign),
    "conj": (lambda x: x.conj() * x, lambda x: 2 * x),
    "vdot": (lambda x: x * 0 + np.vdot(x[0], x[0]), None),
    "hypot": (lambda x: np.hypot(x, 1.0), lambda x: x / np.hypot(x, 1)),
    "logaddexp": (lambda x: np.logaddexp(x, 0), lambda x: 1 / (1 + np.exp(-x))),
    "one column of the output": (_one_column_real, lambda x: 2 * x),
}
#: What it gets right.
KEPT: dict[str, Any] = {
    "arithmetic": lambda x: (x * x + 3) / (2 - x),
    "matrix products": lambda x: x @ np.ones((3, 3)) + np.einsum("nf,gf->ng", x, np.eye(3)),
    "elementary functions": lambda x: np.exp(x) + np.sinh(x) + np.log1p(x * x) + np.sqrt(1 + x * x) + np.expm1(x),
    "where by the real part": lambda x: np.where(x.real > 0, x, 0.1 * x),
    "maximum away from ties": lambda x: np.maximum(x, 0),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "mean and centred squares": lambda x: ((x - x.mean(axis=1, keepdims=True)) ** 2) + x.mean(axis=1, keepdims=True),
}


@pytest.mark.parametrize("forward", [forward for forward, _ in LOST.values()], ids=LOST)
def test_forward_that_loses_the_imaginary_part_is_unsafe(forward: Any) -> None:
    assert set(reasons(case(Linear(3), plug(forward, lambda x: 1.0), Linear(2), x=X))) == {"plug_1"}


@pytest.mark.parametrize("forward", KEPT.values(), ids=KEPT)
def test_forward_that_keeps_it_is_safe(forward: Any) -> None:
    assert reasons(case(Linear(3), plug(forward, lambda x: 1.0), Linear(2), x=X)) == {}


def test_reasons_are_ends_of_a_sentence() -> None:
    def reason(forward: Any) -> str:
        return reasons(case(plug(forward, lambda x: 1.0), x=X))["plug_1"]

    assert reason(np.abs) == "returns real numbers for complex ones: the derivative is lost"
    assert reason(lambda x: np.hypot(x, 1)).startswith("raises TypeError for complex numbers (ufunc 'hypot' not")
    assert reason(lambda x: (x * x).astype(float)).startswith("raises ComplexWarning for complex numbers (Casting")
    assert reason(lambda x: np.abs(x) + 0 * x).startswith("has the slope 0 by complex step where real differences say ")
    assert reason(lambda x: x * (1 + np.iscomplexobj(x))) == "has another value for complex numbers than for real ones"


def test_one_unsafe_output_of_two_makes_the_layer_unsafe() -> None:
    class Two(Layer):
        def forward(self, x: Any) -> Any:
            return (x * x, np.abs(x) + 0 * x), x

        def backward(self, dy: Any, cache: Any) -> Any:
            return 2 * cache * dy[0] + np.sign(cache) * dy[1], {}

    report = check(Two(), x=X)
    assert set(reasons(case(Two(), x=X))) == {"two_1"}
    assert row(report, "input").method == "central"
    assert report.verdict == "pass", told(report)


def test_one_unsafe_parameter_of_a_layer_makes_it_unsafe() -> None:
    class Scaled(Layer):
        def init(self, rng: Any, *x_shapes: Any) -> Any:
            return {"safe": rng.standard_normal(3), "lost": rng.standard_normal(3)}

        def forward(self, x: Any, safe: Any, lost: Any) -> Any:
            return x * safe + lost.real, x

        def backward(self, dy: Any, cache: Any) -> Any:
            return dy, {"safe": (dy * cache).sum(axis=0), "lost": dy.sum(axis=0)}

    assert set(reasons(case(Scaled(), x=X))) == {"scaled_1"}


def test_losses_are_asked_too_under_every_reduction() -> None:
    class UnsafeMean(Declared):
        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            value, cache = super().forward(prediction, target, reduction)
            return (value.real if reduction == "mean" else value), cache

    for reduction in ("sum", "mean"):
        net = case(Linear(2), x=X, loss=UnsafeMean(), target=normal(4, 2), reduction=reduction)
        assert set(reasons(net)) == {"loss"}
    assert reasons(case(Linear(2), x=X, loss=Declared(), target=normal(4, 2))) == {}


def test_built_ins_are_safe_on_their_kinks_too() -> None:
    zeros = np.zeros((2, 3))
    assert reasons(case(Linear(3), Relu(), Selu(), Softmax(), x=zeros, loss=L1(), target=zeros)) == {}
    assert reasons(case(MaxPool2d(2), x=np.zeros((2, 1, 4, 4)))) == {}
    assert reasons(case(relu_with(0.3, black_box=True), PairMax(), x=np.zeros((2, 4)))) == {}


def test_built_in_cast_to_float_falls_back_and_every_row_behind_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Tanh.forward

    def cast(self: Any, x: Any) -> Any:
        return np.tanh(x.real.astype(float)), original(self, x.real)[1]

    monkeypatch.setattr(Tanh, "forward", cast)
    report = check(Linear(3), Tanh(), Linear(2), x=X, trusted=True)
    assert report.verdict == "pass", told(report)
    for name in ("linear_1.weight", "linear_1.bias", "input"):
        assert row(report, name).method == "central"
        assert row(report, name).reason == (
            "not the complex step, because tanh_1 returns real numbers for complex ones: the derivative is lost"
        )
    for name in ("linear_2.weight", "linear_2.bias"):
        assert (row(report, name).method, row(report, name).reason) == ("complex", "")


@pytest.mark.parametrize(("forward", "slope"), [pair for pair in LOST.values() if pair[1]])
def test_layer_that_numpy_gets_wrong_passes_by_differences_and_its_mistakes_do_not(forward: Any, slope: Any) -> None:
    good = check(Linear(3), plug(forward, slope), Linear(2), x=X, checks=["gradient"])
    assert not errors(good), told(good)
    assert good.verdict in ("pass", "inconclusive"), told(good)
    bad = check(Linear(3), plug(forward, lambda x: 1.001 * slope(x)), Linear(2), x=X, checks=["gradient"])
    assert {finding.layer for finding in errors(bad)} == {"plug_1"}, told(bad)


def test_forward_in_single_precision_is_unsafe_and_its_noise_is_no_failure() -> None:
    for dtype in ("float64", "float32"):
        single = plug(lambda x: (2 * x).astype(np.float32), lambda x: 2.0)
        report = check(Linear(3), single, Linear(2), x=X, dtype=dtype, checks=["gradient"])
        assert not errors(report), told(report)
        assert row(report, "linear_1.weight").method == "central"


@pytest.mark.parametrize("method", ["auto", "central"])
def test_argument_near_the_end_of_the_domain_does_not_fail(method: str) -> None:
    x = np.abs(X) + 0.1
    x[0, 0] = 1e-7
    report = check(plug(np.log, lambda x: 1 / x), Linear(2), x=x, method=method, checks=["gradient"])
    assert not errors(report), told(report)
    assert row(report, "input").method == ("complex" if method == "auto" else "central")


def test_loss_whose_terms_cancel_is_safe() -> None:
    class Critic(Loss):
        def forward(self, prediction: Any, target: Any) -> Any:
            return (prediction * target).sum(axis=1), target

        def backward(self, upstream: Any, cache: Any) -> Any:
            return upstream[:, None] * cache

    target = normal(4, 3)
    target[:, 2] = -(X[:, :2] * target[:, :2]).sum(axis=1) / X[:, 2] * (1 + 1e-13)
    assert reasons(case(x=X, loss=Critic(), target=target)) == {}


def test_complex_on_demand_is_refused_with_the_name_of_the_unsafe_layer() -> None:
    sentence = (
        "--method complex cannot be used on test.yaml: plug_1 returns real numbers for complex ones: the derivative "
        "is lost; use --method auto or central"
    )
    with pytest.raises(UsageError) as refusal:
        check(Linear(3), plug(np.abs, np.sign), x=X, method="complex")
    assert str(refusal.value) == sentence


def test_complex_on_demand_is_accepted_where_nothing_on_the_path_is_unsafe() -> None:
    report = check(plug(np.abs, np.sign), Linear(2), x=X, method="complex", entries=(("linear_1.weight", (0, 0)),))
    assert report.verdict == "pass", told(report)
    assert row(report, "linear_1.weight").counts.total == 1


def test_network_without_anything_to_perturb_in_a_layer_is_safe() -> None:
    class OneHot(Layer):
        def forward(self, k: Any) -> Any:
            return np.eye(3)[k], None

        def backward(self, dy: Any, cache: Any) -> Any:
            return None, {}

    net = case(OneHot(), Linear(2), x={"k": np.array([0, 2, 1])}, loss=Mse(), target=normal(3, 2))
    assert reasons(net) == {}


# Borders of domains ---------------------------------------------------------------------------------------------------

ON_BORDER = np.abs(X) / (1 + np.abs(X))
ON_BORDER[0] = 0
#: A domain and points on its border.
DOMAINS: dict[str, tuple[Any, Any]] = {
    "x >= 0": (lambda x: (x >= 0).all(), ON_BORDER),
    "all of them 0": (lambda x: (x >= 0).all(), 0 * X),
    "p <= 1": (lambda x: (x <= 1).all(), 1 - ON_BORDER),
    "two borders": (lambda x: (x >= 0).all() and (x <= 1).all(), np.where(ON_BORDER > 0.5, 1, ON_BORDER)),
    "close to it": (lambda x: (x >= 0).all(), ON_BORDER + 1e-12),
    "a simplex": (
        lambda x: np.allclose(x.sum(axis=1), 1, rtol=0, atol=1e-12) and (x >= -1e-12).all(),
        np.abs(X) / np.abs(X).sum(axis=1)[:, None],
    ),
}


def guarded(inside: Any, forward: Any) -> Any:
    def checked(x: Any) -> Any:
        if not inside(x.real):
            raise ValueError("outside")
        return forward(x)

    return checked


@pytest.mark.parametrize(("inside", "x"), DOMAINS.values(), ids=DOMAINS)
def test_forward_on_the_border_of_its_domain_is_judged_from_inside(inside: Any, x: Any) -> None:
    for label, forward in KEPT.items():
        if label != "where by the real part":  # at 0 its complex step takes the branch on the other side of the border
            assert reasons(case(plug(guarded(inside, forward), None), x=x)) == {}, label
    for forward in (np.abs, lambda x: x.real**2, lambda x: (1 + x) * (1 + x).conj()):
        assert set(reasons(case(plug(guarded(inside, forward), None), x=x))) == {"plug_1"}


def test_forward_that_leaves_no_way_to_a_real_difference_is_unsafe() -> None:
    net = case(plug(guarded(lambda x: np.array_equal(x, X), lambda x: x * x), None), x=X)
    assert reasons(net) == {
        "plug_1": "lies so close to the border of its domain that no real difference can prove its complex step"
    }


def test_guard_that_refuses_complex_numbers_is_the_reason() -> None:
    def refusing(x: Any) -> Any:
        if x.dtype.kind == "c":
            raise TypeError("'<' is not for complex numbers")
        return x * x

    reason = reasons(case(plug(refusing, None), x=ON_BORDER))["plug_1"]
    assert reason == "raises TypeError for complex numbers ('<' is not for complex numbers)"


# Steps ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_forward_that_rounds_complex_numbers_too_is_unsafe_unless_it_is_ours(trusted: bool) -> None:
    net = case(plug(lambda x: np.round(64 * x) / 64, None), x=X, trusted=trusted)
    expected = {"plug_1": "rounds its values to steps, so that no short difference can prove its complex step"}
    assert reasons(net) == ({} if trusted else expected)


# Oscillations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e3, 1e6, 1e8])
def test_oscillation_that_the_usual_step_leaps_over_is_proved_by_shorter_ones(size: float) -> None:
    for seed in range(4):
        x = size * normal(3, 4, seed=seed)
        assert reasons(case(Linear(4), plug(np.sin, np.cos), Linear(2), x=x, seed=seed)) == {}


@pytest.mark.parametrize("part", [1e-3, 1e-5, 1e-7])
def test_shorter_steps_do_not_blur_what_the_usual_step_sees(part: float) -> None:
    for size in (1, 1e6):
        small = plug(lambda x: np.tanh(x / size) + part * np.abs(x / size), None)  # noqa: B023
        assert set(reasons(case(small, x=size * X))) == {"plug_1"}
    oscillating = plug(lambda x: np.sin(x) + 1e-2 * np.abs(np.sin(x)), None)
    assert set(reasons(case(oscillating, x=1e6 * X))) == {"plug_1"}


def test_sine_of_great_numbers_is_not_wrong() -> None:
    for seed in range(4):
        layers = Linear(4), plug(np.sin, np.cos), Linear(2)
        report = check(*layers, x=1e6 * normal(3, 4, seed=seed), seed=seed, checks=["gradient"])
        assert not errors(report), told(report)
