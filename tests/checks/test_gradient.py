from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Normalised, WrongLinear, blamed, double, errors, graph, normal, notes, plug, row, told, wrong
from support import check, judged

from gradcheck.findings import SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.softmax import Softmax
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

X = normal(3, 3)
ONLY = ("gradient", "vacuity")


def change_entry(name: str, index: tuple[int, ...], factor: float) -> Any:
    def change(dx: Any, g: Any) -> Any:
        g[name][index] *= factor
        return dx, g

    return change


def with_mistake(change: Any, **options: Any) -> SpecReport:
    """Linear, tanh, the changed linear layer, tanh, linear."""
    return check(Linear(4), Tanh(), wrong(change), Tanh(), Linear(2), x=X, checks=ONLY, **options)


# The smallest mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "size"), [("auto", 1e-9), ("complex", 1e-10), ("central", 1e-6), ("five_point", 1e-6)]
)
def test_one_entry_that_is_off_by_very_little_fails_alone(method: str, size: float) -> None:
    report = with_mistake(change_entry("weight", (1, 2), 1 + size), method=method)
    assert blamed(report) == [("wrong_linear_1", "wrong_linear_1.weight")], told(report)
    assert errors(report)[0].index == (1, 2)
    assert report.counts.fail == 1, told(report)


@pytest.mark.parametrize(("dtype", "factor"), [("float64", 1 + 1e-9), ("float32", 1.01)])
def test_mistake_in_what_is_handed_back_fails_every_row_in_front(dtype: str, factor: float) -> None:
    report = with_mistake(lambda dx, g: (factor * dx, g), dtype=dtype)
    assert blamed(report) == [("wrong_linear_1", None)], told(report)
    for name in ("linear_1.weight", "linear_1.bias", "input"):
        assert row(report, name).verdict == "fail", told(report)
    for name in ("wrong_linear_1.weight", "wrong_linear_1.bias", "linear_2.weight", "linear_2.bias"):
        assert row(report, name).verdict == "pass", told(report)


@pytest.mark.parametrize("change", [
    lambda dx, g: (dx, {**g, "weight": -g["weight"]}),
    lambda dx, g: (dx, {**g, "weight": 0 * g["weight"]}),
    lambda dx, g: (dx, {**g, "weight": g["weight"][::-1]}),
    lambda dx, g: (dx, {**g, "weight": g["weight"] / 3}),
    lambda dx, g: (dx, {**g, "weight": g["weight"] + 1e-7}),
])  # fmt: skip
@pytest.mark.parametrize("method", ["auto", "central"])
def test_whole_tensor_that_is_wrong_fails(change: Any, method: str) -> None:
    report = with_mistake(change, method=method)
    assert blamed(report) == [("wrong_linear_1", "wrong_linear_1.weight")], told(report)
    found = row(report, "wrong_linear_1.weight")
    assert found.counts.fail >= 8, told(report)


def test_tiny_tensor_with_the_wrong_sign_fails() -> None:
    """A fixed absolute tolerance would pass it."""
    layers: list[Any] = [("a", wrong(lambda dx, g: (dx, {**g, "weight": -g["weight"]}), 2), ("input",))]
    terms = [Term(Mse(), "mean", 1e-12, ("a",), {"target": "target"})]
    report = judged(graph({"input": X, "target": normal(3, 2)}, layers, terms))
    assert blamed(report) == [("a", "a.weight")], told(report)


@pytest.mark.parametrize(("dtype", "smallest"), [("float64", 1e-30), ("float32", 1e-20)])
def test_verdicts_do_not_depend_on_the_weight_of_the_loss(dtype: str, smallest: float) -> None:
    expected = None
    for weight in (1.0, smallest, 1e30, -1e-8):
        layers: list[Any] = [
            ("a", Linear(3), ("input",)), ("b", Tanh(), ("a",)),
            ("c", wrong(change_entry("bias", (0,), 1.02), 2), ("b",)),
        ]  # fmt: skip
        terms = [Term(Mse(), "mean", weight, ("c",), {"target": "target"})]
        report = judged(graph({"input": X, "target": normal(3, 2)}, layers, terms, dtype=dtype))
        found = [(r.name, r.verdict, r.counts) for r in report.rows], [c.verdict for c in report.checks]
        expected = expected or found
        assert found == expected, f"weight {weight}: {told(report)}"
        assert blamed(report) == [("c", "c.bias")]


@pytest.mark.parametrize("weight", [1e-36, 1e-40])
def test_gradient_that_is_lost_to_underflow_is_no_failure(weight: float) -> None:
    layers: list[Any] = [("a", Linear(4), ("input",)), ("b", Tanh(), ("a",)), ("c", Linear(2), ("b",))]
    terms = [Term(Mse(), "mean", weight, ("c",), {"target": "target"})]
    report = judged(graph({"input": X, "target": normal(3, 2)}, layers, terms, dtype="float32"))
    assert not errors(report), told(report)


def test_one_nan_is_one_wrong_entry() -> None:
    for dtype in ("float64", "float32"):
        report = with_mistake(change_entry("weight", (1, 1), np.nan), dtype=dtype)
        assert row(report, "wrong_linear_1.weight").counts.fail == 1, told(report)
        assert blamed(report) == [("wrong_linear_1", "wrong_linear_1.weight")], told(report)


def test_parameter_may_be_a_single_number() -> None:
    class Temperature(Layer):
        factor = 1.0

        def init(self, rng: Any, *x_shapes: Any) -> Any:
            return {"t": np.array(1.5)}

        def forward(self, x: Any, t: Any) -> Any:
            return x * t, (x, t)

        def backward(self, dy: Any, cache: Any) -> Any:
            x, t = cache
            return dy * t, {"t": self.factor * (dy * x).sum()}

    for dtype in ("float64", "float32"):
        for method in ("auto", "central"):
            report = check(Temperature(), x=X, dtype=dtype, method=method)
            assert report.verdict == "pass", told(report)
            assert row(report, "temperature_1.t").shape == ()
    Temperature.factor = 1.1
    assert blamed(check(Temperature(), x=X)) == [("temperature_1", "temperature_1.t")]


@pytest.mark.parametrize("method", ["auto", "central"])
def test_target_that_is_the_input_is_held_constant(method: str) -> None:
    layers: list[Any] = [("a", Linear(2), ("input",)), ("b", Tanh(), ("a",)), ("c", Linear(3), ("b",))]
    terms = [Term(Mse(), "mean", 1.0, ("c",), {"target": "input"})]
    report = judged(graph({"input": X}, layers, terms, method=method))
    assert report.verdict == "pass", told(report)


def test_weight_of_zero_leaves_nothing_to_test_and_fails_nothing() -> None:
    terms = [Term(Mse(), "mean", 0.0, ("a",), {"target": "target"})]
    data = {"input": X, "target": normal(3, 2)}
    report = judged(graph(data, [("a", Linear(2), ("input",))], terms, checks=ONLY))
    assert report.verdict == "pass", told(report)
    assert [code for code, _ in notes(report)] == ["GC601"] * 3


# Mistakes that hide ---------------------------------------------------------------------------------------------------


class LastSampleOnly(WrongLinear):
    spec_name = "wrong_linear"

    def backward(self, dy: Any, cache: Any) -> Any:
        x, weight, _ = cache
        return dy @ weight.T, {"weight": x[-1:].T @ dy[-1:], "bias": dy[-1]}


class FirstOutputOnly(WrongLinear):
    spec_name = "wrong_linear"

    def backward(self, dy: Any, cache: Any) -> Any:
        x, weight, _ = cache
        return dy[:, :1] @ weight.T[:1], {"weight": x.T @ dy, "bias": dy.sum(axis=0)}


class ByTheOrderOfTheBatch(WrongLinear):
    spec_name = "wrong_linear"

    def backward(self, dy: Any, cache: Any) -> Any:
        x, weight, _ = cache
        weighted = dy * np.linspace(0.9, 1.1, len(dy))[:, None].astype(dy.dtype)
        return dy @ weight.T, {"weight": x.T @ weighted, "bias": weighted.sum(axis=0)}


@pytest.mark.parametrize("layer", [LastSampleOnly(3), FirstOutputOnly(3), ByTheOrderOfTheBatch(3)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_mistake_about_samples_or_outputs_does_not_pass_for_rounding(layer: Layer, dtype: str) -> None:
    report = check(Linear(3), Tanh(), layer, Tanh(), x=X, dtype=dtype, checks=ONLY)
    assert {finding.layer for finding in errors(report)} == {"wrong_linear_1"}, told(report)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_backward_that_says_something_else_each_time_does_not_pass(size: float, method: str) -> None:
    rng = np.random.default_rng(0)
    noisy = double(lambda dy: (2 * dy * (1 + size * rng.standard_normal(dy.shape)), {}))
    report = check(Linear(3), noisy, Linear(2), x=X, method=method, checks=ONLY)
    assert report.verdict in ("fail", "inconclusive"), told(report)
    assert row(report, "linear_1.weight").counts.passed == 0, told(report)
    assert row(report, "linear_2.weight").verdict == "pass", told(report)


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("redrawn", [
    lambda x, rng: np.where(rng.random(x.shape) < 0.5, x, 0),
    lambda x, rng: x + 1e-3 * rng.standard_normal(x.shape),
], ids=["a mask", "noise"])  # fmt: skip
def test_forward_that_is_drawn_anew_each_time_does_not_pass_whatever_its_backward_says(
    redrawn: Any, method: str
) -> None:
    rng = np.random.default_rng(0)
    layer = plug(lambda x: redrawn(x, rng), lambda x: -3.0)
    report = check(Linear(3), layer, Linear(2), x=X, method=method, checks=ONLY)
    assert report.verdict in ("fail", "inconclusive"), told(report)
    assert row(report, "linear_1.weight").counts.passed == 0, told(report)


def test_backward_of_another_point_fails() -> None:
    class Stale(Layer):
        """Remembers the first forward of all, and differentiates there."""

        first: Any = None

        def forward(self, x: Any) -> Any:
            if type(self).first is None:
                type(self).first = x.real + 0.1
            return x * x, None

        def backward(self, dy: Any, cache: Any) -> Any:
            return 2 * type(self).first[: len(dy)] * dy, {}

    report = check(Stale(), Linear(2), x=X)
    assert {finding.layer for finding in errors(report)} == {"stale_1"}, told(report)


@pytest.mark.parametrize("k", [4, 5, 6])
def test_derivative_that_is_wrong_in_a_corner_of_its_domain_fails_where_the_corner_is_visited(k: int) -> None:
    x = normal(5, 3)
    x[1, 2] = k
    corner = plug(np.tanh, lambda x: np.where(x > 3, 0, 1 - np.tanh(x) ** 2))
    report = check(corner, Linear(2), x=x, checks=ONLY)
    assert blamed(report) == [("plug_1", "input")], told(report)
    assert errors(report)[0].index == (1, 2)


class Scaled(Linear):
    """Makes its own forward out of an inherited one: what the base says of perturbed copies is not true of it."""

    def forward(self, x: Any, weight: Any, bias: Any = None) -> Any:
        y, cache = super().forward(x, weight, bias)
        return 3 * y, cache


class ScaledRight(Scaled):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(3 * dy, cache)


class Mixed(Tanh):
    """Inherits that it works entry by entry, and does not."""

    def forward(self, x: Any) -> Any:
        y, cache = super().forward(x)
        return y + y.sum(axis=1, keepdims=True), cache

    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(dy + dy.sum(axis=1, keepdims=True), cache)


def test_inherited_shortcuts_neither_hide_a_wrong_backward_nor_accuse_a_right_one() -> None:
    wrong_one = check(Scaled(3), Linear(2), x=X, checks=ONLY)
    assert {r.name for r in wrong_one.rows if r.verdict == "fail"} == {"scaled_1.weight", "scaled_1.bias", "input"}
    for right in ((Tanh(), ScaledRight(3)), (Linear(3), Mixed())):
        report = check(*right, Linear(2), x=X, checks=ONLY)
        assert report.verdict == "pass", told(report)


# A true gradient of zero ----------------------------------------------------------------------------------------------


def in_front_of_normalisation(bias: Any, **options: Any) -> SpecReport:
    """Linear, whose bias gradient is replaced, in front of a batch normalisation: its true gradient is zero."""
    layer = wrong(lambda dx, g: (dx, {**g, "bias": bias(g["bias"])}))
    return check(layer, Normalised(), Tanh(), Linear(2), x=X, checks=ONLY, **options)


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [lambda g: g, lambda g: 0 * g, lambda g: -7 * g], ids=["its own", "zero", "scaled"])
def test_bias_in_front_of_a_normalisation_passes_with_a_note_that_nothing_was_tested(
    bias: Any, dtype: str, method: str
) -> None:
    report = in_front_of_normalisation(bias, dtype=dtype, method=method)
    assert not errors(report), told(report)
    assert report.counts.fail == 0, told(report)
    assert row(report, "wrong_linear_1.bias").verdict == "pass", told(report)
    assert notes(report) == [("GC601", "wrong_linear_1.bias")], told(report)
    (note,) = [finding for finding in report.findings if finding.severity == "note"]
    assert note.layer == "wrong_linear_1"
    assert "nothing was tested here" in note.message


@pytest.mark.parametrize(("dtype", "value"), [("float64", 1e-6), ("float64", 1.0), ("float32", 1e-2)])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_wrong_value_where_the_true_gradient_is_zero_fails(dtype: str, value: float, method: str) -> None:
    report = in_front_of_normalisation(lambda g: g + np.asarray(value, g.dtype), dtype=dtype, method=method)
    assert ("wrong_linear_1", "wrong_linear_1.bias") in blamed(report), told(report)
    assert row(report, "wrong_linear_1.bias").counts.fail == 3, told(report)
    assert not notes(report), told(report)


@pytest.mark.parametrize("method", ["auto", "central"])
def test_dead_unit_passes_with_zero_and_fails_with_anything_else(method: str) -> None:
    dead = {"linear_1.weight": normal(3, 4), "linear_1.bias": np.array([-100.0, 1.0, 2.0, 3.0])}
    report = check(Linear(4), Relu(), Linear(2), x=X, parameters=dead, checks=ONLY, method=method)
    assert report.verdict == "pass", told(report)
    assert notes(report) == [("GC602", None)], told(report)
    dead = {name.replace("linear", "wrong_linear"): array for name, array in dead.items()}

    def leak(dx: Any, g: Any) -> Any:
        g["bias"][0] = 1e-5
        return dx, g

    leaking = check(wrong(leak, 4), Relu(), Linear(2), x=X, parameters=dead, checks=ONLY, method=method)
    assert blamed(leaking) == [("wrong_linear_1", "wrong_linear_1.bias")], told(leaking)
    assert errors(leaking)[0].index == (0,)


# What correct networks get --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "central", "five_point", "richardson", "forward"])
def test_correct_network_has_no_finding_by_any_method(method: str) -> None:
    target = np.array([0, 2, 1])
    report = check(Linear(4), Tanh(), Linear(3), x=X, loss=CrossEntropy(), target=target, checks=ONLY, method=method)
    assert not report.findings, told(report)
    assert report.counts.fail == 0
    assert report.verdict == "pass", told(report)


def test_saturated_softmax_is_judged_to_the_last_digits() -> None:
    own = {"linear_1.weight": 20 * normal(3, 4), "linear_1.bias": np.zeros(4)}
    report = check(Linear(4), Softmax(), Linear(2), x=X, parameters=own, checks=ONLY)
    assert not errors(report), told(report)


def test_single_precision_does_not_fail_a_correct_network_and_fails_a_mistake_of_a_hundredth() -> None:
    good = check(Linear(4), Tanh(), Linear(3), Relu(), Linear(2), x=X, dtype="float32")
    assert not errors(good), told(good)
    assert good.counts.passed >= 0.95 * good.counts.total, told(good)
    bad = with_mistake(change_entry("weight", (2, 0), 1.01), dtype="float32")
    assert blamed(bad) == [("wrong_linear_1", "wrong_linear_1.weight")], told(bad)


def test_rtol_lets_a_small_mistake_pass_and_no_greater_one() -> None:
    assert with_mistake(change_entry("weight", (1, 2), 1.01), rtol=0.02).verdict == "pass"
    report = with_mistake(change_entry("weight", (1, 2), 1.03), rtol=0.02)
    assert report.counts.fail == 1, told(report)


def test_selected_entries_are_judged_as_they_would_be_among_all() -> None:
    change = change_entry("weight", (1, 2), 1.01)
    whole = with_mistake(change)
    part = with_mistake(change, entries=(("wrong_linear_1.weight", (1, 2)), ("wrong_linear_1.weight", (0, 0))))
    assert [r.name for r in part.rows if r.checked] == ["wrong_linear_1.weight"]
    assert part.counts.total == 2
    assert row(part, "wrong_linear_1.weight").worst == row(whole, "wrong_linear_1.weight").worst
    assert row(part, "wrong_linear_1.weight").counts.fail == 1
    right = with_mistake(change, entries=(("wrong_linear_1.weight", (0, 0)),))
    assert right.verdict == "pass", told(right)


def test_counts_add_up_to_every_entry_and_measured_says_so() -> None:
    report = with_mistake(change_entry("weight", (1, 2), 2.0))
    for found in report.rows:
        assert found.counts.total == found.checked == found.entries == np.prod(found.shape)
    result, _ = report.checks
    assert result.measured["entries"] == report.counts.total
    assert result.measured["max_rel_error"] == max(r.max_rel_error for r in report.rows)


def test_detectable_is_a_mistake_that_is_just_seen() -> None:
    clean = with_mistake(lambda dx, g: (dx, g))
    found = row(clean, "wrong_linear_1.weight")
    assert found.detectable is not None
    assert 1e-17 < found.detectable < 1e-12
    assert found.worst is not None
    assert clean.verdict == "pass"


def test_whatever_backward_returns_there_is_a_report() -> None:
    for backward in (
        lambda dy: (dy.astype(np.float16), {}),
        lambda dy: (dy > 0, {}),
        lambda dy: ((10 * dy).astype(int), {}),
        lambda dy: (np.ma.masked_array(dy, dy > 0), {}),
        lambda dy: (np.asfortranarray(dy)[::-1], {}),
        lambda dy: (1e308 * dy * 1e308, {}),
    ):
        with np.errstate(all="ignore"):
            report = check(Linear(3), double(backward), Linear(2), x=X, checks=ONLY)
        assert report.verdict == "fail", told(report)
        assert {finding.layer for finding in errors(report)} >= {"double_1"}, told(report)
