from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Declared, Gate, WrongLinear, double, graph, normal, wrong
from support import case

from gradcheck.gradients.analytic import DECLARED, Analytic, Objective, gradient, own_rounding, spread
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.spec.case import Case

X, TARGET = normal(4, 3), normal(4, 2)


def of(case: Case, objective: Objective | None = None) -> Analytic:
    with np.errstate(all="ignore"):
        return gradient(case.network, case.point.cast(case.dtype), objective or DECLARED)


def failures(*layers: Layer, x: Any = X) -> list[tuple[str, str, str | None]]:
    found = of(case(*layers, x=x)).failures
    return [(failure.code, failure.node, failure.parameter) for failure in found]


# The gradient ---------------------------------------------------------------------------------------------------------


def test_gradient_of_a_linear_network_is_the_formula() -> None:
    found = of(case(Linear(2), x=X, loss=Mse(), target=TARGET)).gradients
    arrays = case(Linear(2), x=X, loss=Mse(), target=TARGET).point.arrays
    error = X @ arrays["linear_1.weight"] + arrays["linear_1.bias"] - TARGET
    dy = 2 * error / error.size
    np.testing.assert_allclose(found["linear_1"], dy, rtol=1e-14)
    np.testing.assert_allclose(found["linear_1.weight"], X.T @ dy, rtol=1e-13)
    np.testing.assert_allclose(found["linear_1.bias"], dy.sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found["input"], dy @ arrays["linear_1.weight"].T, rtol=1e-13)


@pytest.mark.parametrize(("reduction", "divisor"), [("sum", 1), ("mean", 8), ("batch_mean", 4)])
def test_reduction_divides_the_upstream_gradient(reduction: str, divisor: int) -> None:
    declared = of(case(Linear(2), x=X, loss=Mse(), target=TARGET, reduction=reduction)).gradients
    total = of(case(Linear(2), x=X, loss=Mse(), target=TARGET, reduction="sum")).gradients
    asked = of(case(Linear(2), x=X, loss=Mse(), target=TARGET, reduction="none"), Objective(0, reduction)).gradients
    for name in ("linear_1.weight", "input"):
        np.testing.assert_allclose(divisor * declared[name], total[name], rtol=1e-14)
        np.testing.assert_array_equal(asked[name], declared[name])


def test_none_is_contracted_with_the_random_vector() -> None:
    net = case(Linear(2), x=X, loss=Mse(), target=TARGET, reduction="none")
    vector = net.point.arrays["loss.contraction"]
    trace = net.network.forward(net.point)
    np.testing.assert_allclose(of(net).gradients["linear_1"], 2 * vector * (trace.arrays["linear_1"] - TARGET))
    assert vector.shape == (4, 2)
    assert len(np.unique(vector)) == 8


def test_reducing_loss_gets_a_scalar_and_the_reduction_that_is_asked_for() -> None:
    net = case(Linear(2), x=X, loss=Declared(), target=TARGET)
    same = case(Linear(2), x=X, loss=Mse(), target=TARGET)
    for objective in (Objective(), Objective(0, "sum"), Objective(0, "mean")):
        found, expected = of(net, objective).gradients, of(same, objective).gradients
        np.testing.assert_allclose(found["linear_1.weight"], expected["linear_1.weight"], rtol=1e-14)


def test_terms_add_up_with_their_weights_and_each_can_be_asked_for_alone() -> None:
    data = {"input": X, "target": TARGET}
    terms = [
        Term(Mse(), "mean", 0.5, ("head",), {"target": "target"}),
        Term(L1(), "sum", -2.0, ("head",), {"target": "target"}, name="loss_2"),
    ]
    net = graph(data, [("head", Linear(2), ("input",))], terms)
    alone = [of(net, Objective(k)).gradients["head.weight"] for k in range(2)]
    np.testing.assert_allclose(of(net).gradients["head.weight"], 0.5 * alone[0] - 2 * alone[1], rtol=1e-14)


def test_gradients_of_a_fan_out_add_up_and_contributions_are_kept_apart() -> None:
    layers = [
        ("a", Linear(2), ("input",)),
        ("b", Linear(2), ("input",)),
        ("sum", Add(), ("a", "b")),
        ("twice", Add(), ("sum", "sum")),
    ]
    net = graph({"input": X, "target": TARGET}, layers, [Term(Mse(), "mean", 1.0, ("twice",), {"target": "target"})])
    found = of(net)
    parts = [found.contributions[name, "input"] for name in ("a", "b")]
    np.testing.assert_allclose(found.gradients["input"], parts[0] + parts[1], rtol=1e-15)
    np.testing.assert_allclose(found.gradients["sum"], 2 * found.gradients["twice"], rtol=1e-15)


def test_what_the_loss_does_not_depend_on_has_gradient_zero() -> None:
    layers = [("used", Linear(2), ("input",)), ("unused", Linear(5), ("input",))]
    net = graph({"input": X, "target": TARGET}, layers, [Term(Mse(), "mean", 1.0, ("used",), {"target": "target"})])
    found = of(net)
    assert not found.failures
    assert not found.gradients["unused.weight"].any()
    assert found.gradients["unused"].shape == (4, 5)


def test_integer_input_has_no_gradient_and_is_not_cast() -> None:
    net = case(Gate(), x={"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])})
    found = of(net)
    assert not found.failures
    assert "k" not in found.contributions
    assert found.trace.arrays["k"].dtype == int


def test_precision_of_the_case_is_that_of_every_gradient() -> None:
    found = of(case(Linear(3), Tanh(), Linear(2), x=X, loss=Mse(), target=TARGET, dtype="float32"))
    assert {gradient.dtype for gradient in found.gradients.values()} == {np.dtype(np.float32)}


# What a backward does against the contract ----------------------------------------------------------------------------


def _raise(dy: Any) -> Any:
    raise RuntimeError("no gradient today")


@pytest.mark.parametrize(
    ("backward", "code"),
    [
        (_raise, "GC901"),
        (lambda dy: 2 * dy, "GC120"),
        (lambda dy: (2 * dy, {}, None), "GC120"),
        (lambda dy: (2 * dy, None), "GC120"),
        (lambda dy: None, "GC120"),
        (lambda dy: (None, {}), "GC108"),
        (lambda dy: ([1.0], {}), "GC505"),
        (lambda dy: ((2 * dy, 2 * dy), {}), "GC120"),
        (lambda dy: ((), {}), "GC120"),
        (lambda dy: (2 * dy.T, {}), "GC120"),
        (lambda dy: (2 * dy[:1], {}), "GC120"),
        (lambda dy: (2 * dy.sum(), {}), "GC120"),
        (lambda dy: (dy * np.nan, {}), "GC115"),
        (lambda dy: (np.where(dy == dy.max(), np.inf, 2 * dy), {}), "GC115"),
        (lambda dy: (2 * dy, {"scale": dy}), "GC120"),
    ],
)
def test_unusable_gradient_is_named_at_the_layer_once(backward: Any, code: str) -> None:
    assert failures(Linear(3), double(backward), Linear(2)) == [(code, "double_1", None)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda dx, g: (dx, {"weight": g["weight"]}), "GC108"),
        (lambda dx, g: (dx, {**g, "bias": None}), "GC108"),
        (lambda dx, g: (dx, {**g, "bias": list(g["bias"])}), "GC505"),
        (lambda dx, g: (dx, {**g, "bias": g["bias"][None]}), "GC120"),
        (lambda dx, g: (dx, {**g, "bias": g["bias"].sum()}), "GC120"),
        (lambda dx, g: (dx, {**g, "bias": g["bias"] * np.nan}), "GC115"),
    ],
)
def test_unusable_gradient_of_a_parameter_is_named_with_the_parameter(change: Any, code: str) -> None:
    assert failures(Linear(3), wrong(change), Linear(2)) == [(code, "wrong_linear_1", "wrong_linear_1.bias")]


def test_what_is_unusable_is_nan_and_the_rest_is_kept() -> None:
    found = of(case(wrong(lambda dx, g: (dx, {**g, "bias": None})), x=X)).gradients
    expected = of(case(wrong(lambda dx, g: (dx, g)), x=X)).gradients
    assert np.isnan(found["wrong_linear_1.bias"]).all()
    np.testing.assert_array_equal(found["wrong_linear_1.weight"], expected["wrong_linear_1.weight"])
    np.testing.assert_array_equal(found["input"], expected["input"])


def test_misspelt_name_is_a_forgotten_gradient_and_says_what_was_returned() -> None:
    found = of(case(wrong(lambda dx, g: (dx, {"weight": g["weight"], "bais": g["bias"]})), x=X)).failures
    assert [failure.code for failure in found] == ["GC108"]
    assert found[0].message == (
        "wrong_linear_1.bias: backward forgets the gradient of `bias`; the gradients that it returns: `weight`, `bais`"
    )


def test_nan_is_named_where_it_arises_and_not_where_it_flows_on() -> None:
    found = failures(Linear(3), double(lambda dy: (dy * np.nan, {})), Linear(3), double(lambda dy: (dy + np.inf, {})))
    assert found == [("GC115", "double_2", None)]


def test_two_layers_that_fail_are_both_named_nearest_to_the_loss_first() -> None:
    both = [double(lambda dy: (2 * dy[:1], {})), Linear(3), wrong(lambda dx, g: (dx, {}))]
    assert failures(*both) == [
        ("GC108", "wrong_linear_1", "wrong_linear_1.weight"),
        ("GC108", "wrong_linear_1", "wrong_linear_1.bias"),
        ("GC120", "double_1", None),
    ]


def test_backward_that_writes_to_its_upstream_gradient_does_not_change_ours() -> None:
    def in_place(dy: Any) -> Any:
        dy *= 2
        return dy, {}

    net = case(Linear(3), double(in_place), x=X)
    expected = of(case(Linear(3), double(lambda dy: (2 * dy, {})), x=X))
    np.testing.assert_array_equal(of(net).gradients["double_1"], expected.gradients["double_1"])
    np.testing.assert_array_equal(of(net).gradients["linear_1.weight"], expected.gradients["linear_1.weight"])


# Its rounding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "unit"), [("float64", 2**-53), ("float32", 2**-24)])
def test_spread_is_some_rounding_errors_of_the_gradient_and_never_a_digit_more(dtype: str, unit: float) -> None:
    net = case(Linear(8), Tanh(), Linear(2), x=X, loss=Mse(), target=TARGET, dtype=dtype)
    base = of(net)
    found = {k: s.greatest for k, s in spread(net.network, net.point.cast(dtype), base).items()}
    for name in net.point.parameters:
        typical = np.sqrt(np.mean(found[name] ** 2)) / np.abs(base.gradients[name]).max()
        assert unit / 4 < typical < 50 * unit, name


def test_spread_of_a_cancelling_gradient_is_that_of_its_parts() -> None:
    class Cancelling(WrongLinear):
        def change(self, dx: Any, gradients: Any) -> Any:
            big = 1e8 * (1 + gradients["bias"])
            return dx, {**gradients, "bias": (big - 1e8) / 1e8}

    net = case(Cancelling(2), x=X)
    found = {k: s.greatest for k, s in spread(net.network, net.point, of(net)).items()}
    assert found["cancelling_1.bias"].max() > 1e-16
    assert found["cancelling_1.bias"].max() < 1e-14


def test_spread_does_not_see_the_order_of_the_batch() -> None:
    last_only = wrong(lambda dx, g: (dx, g))
    last_only.change = lambda dx, g: (dx, {**g, "bias": dx[-1]})  # type: ignore[attr-defined]
    net = case(last_only, x=X)
    assert spread(net.network, net.point, of(net))["wrong_linear_1.bias"].greatest.max() < 1e-14


def test_moved_points_do_not_change_the_gradient_that_is_judged() -> None:
    net = case(Linear(3), Tanh(), x=X)
    base = of(net)
    before = {name: gradient.copy() for name, gradient in base.gradients.items()}
    spread(net.network, net.point, base)
    for name, gradient_before in before.items():
        np.testing.assert_array_equal(base.gradients[name], gradient_before)


def tied() -> tuple[Case, Analytic]:
    """A network in float32 whose targets are its predictions up to rounding: nearly every move changes a sign."""
    net = case(Linear(3), Tanh(), Linear(2), x=X)
    target = net.network.forward(net.point).arrays["linear_2"]
    net = case(Linear(3), Tanh(), Linear(2), x=X, loss=L1(), target=target, dtype="float32", trusted=True)
    return net, of(net)


def test_moves_to_another_piece_are_no_rounding() -> None:
    net, base = tied()
    found = spread(net.network, net.point.cast("float32"), base)
    for name, gradient_ in base.gradients.items():
        if gradient_.dtype.kind == "f":
            assert found[name].moved.max() < 1e-5, name
    assert found["linear_1.weight"].wide.max() > 1e-3, "float64 is on other pieces"


def test_wider_precision_is_kept_with_its_unit() -> None:
    net = case(Linear(3), Tanh(), x=X, dtype="float32")
    found = spread(net.network, net.point.cast("float32"), of(net))["linear_1.weight"]
    assert found.unit == 2**-53
    np.testing.assert_allclose(
        found.value, of(case(Linear(3), Tanh(), x=net.point.arrays["input"])).gradients["linear_1.weight"], rtol=1e-6
    )
    assert found.value.dtype == np.float64


class Saturated(Layer):
    """Softmax of each sample: where one number is far greater than the rest, s is 1 and s (dy - dy s) cancels."""

    def forward(self, x: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True), e / e.sum(axis=1, keepdims=True)

    def backward(self, dy: Any, s: Any) -> Any:
        return s * (dy - (dy * s).sum(axis=1, keepdims=True)), {}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding_of_a_number_that_no_move_of_the_inputs_moves_is_in_the_spread(dtype: str) -> None:
    net = case(Saturated(), x=np.array([[900.0, 0, 1], [0, 1, 2]]), dtype=dtype)
    base, point = of(net), net.point.cast(dtype)
    greatest = float(np.abs(base.gradients["saturated_1"][0, 0]))
    ulp = float(np.finfo(dtype).eps)
    found = spread(net.network, point, base)["input"].moved
    own = own_rounding(net.network, point, base, net.network.nodes[0])["input"]
    for s in (found, own):
        assert ulp / 4 * greatest < s[0, 0] < 4 * ulp * greatest
        assert (s[1] < 8 * ulp * np.abs(base.gradients["saturated_1"][1]).max()).all()


def test_backward_that_refuses_what_was_moved_leaves_the_spread_as_it_is() -> None:
    class Strict(Saturated):
        def backward(self, dy: Any, s: Any) -> Any:
            if np.abs(s.sum(axis=1) - 1).max() > 0:
                raise ValueError("not a distribution")
            return super().backward(dy, s)

    net = case(Strict(), x=np.array([[0.0, 0.0], [700.0, 0.0]]))
    found = spread(net.network, net.point, of(net))["input"]
    assert np.isfinite(found.greatest).all()


def test_own_rounding_of_a_layer_is_not_that_of_the_others() -> None:
    net, base = tied()
    point = net.point.cast("float32")
    for part in (*net.network.nodes, *net.network.terms):
        found = own_rounding(net.network, point, base, part)
        operands = part.predictions if part in net.network.terms else (*part.inputs, *part.parameters.values())
        assert set(found) == set(operands), part.name
        for name, s in found.items():
            assert s.max() < 64 * 2**-24 * np.abs(base.gradients[name]).max(), (part.name, name)
    weight = own_rounding(net.network, point, base, net.network.nodes[-1])["linear_2.weight"]
    assert weight.max() > 0


def test_layer_that_cannot_be_asked_again_has_no_rounding_of_its_own() -> None:
    calls = []

    def once(dy: Any) -> Any:
        calls.append(dy)
        if len(calls) > 1:
            raise RuntimeError
        return dy, {}

    net = case(double(once), x=X)
    assert own_rounding(net.network, net.point, of(net), net.network.nodes[0]) == {}
