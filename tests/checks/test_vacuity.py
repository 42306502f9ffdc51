"""What is said where nothing was tested: tensors without a gradient, dead units, tensors that the loss never sees."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from core_nets import Normalised, blamed, errors, graph, normal, notes, plug, relu_with, row, told, wrong
from support import case, check, judged

from gradcheck.checks._dead_units import dead_units
from gradcheck.checks._influence import carried, differs, small_moves
from gradcheck.checks._never_reached import _elsewhere
from gradcheck.findings import SpecReport
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.sigmoid import Sigmoid
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

X = normal(5, 3)
ONLY = ("gradient", "vacuity")
#: One column of the weight leads to a unit that is below zero in all samples.
ONE_DEAD = {"weight": normal(3, 4), "bias": np.array([-100.0, 1.0, 2.0, 3.0])}


def of(layer: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {f"{layer}.{name}": array for name, array in parameters.items()}


def message(report: SpecReport, code: str) -> str:
    """The only note with that code."""
    (note,) = [finding for finding in report.findings if finding.code == code]
    return note.message


def untested(report: SpecReport) -> dict[str, int]:
    return {found.name: found.untested for found in report.rows if found.untested}


class InstanceNorm(Layer):
    """Each channel of each image to mean 0 and deviation 1."""

    def forward(self, x: Any) -> Any:
        centred = x - x.mean(axis=(2, 3), keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=(2, 3), keepdims=True) + 1e-5)
        return centred / deviation, (centred / deviation, deviation)

    def backward(self, dy: Any, cache: Any) -> Any:
        y, deviation = cache
        mean = {"axis": (2, 3), "keepdims": True}
        return (dy - dy.mean(**mean) - y * (dy * y).mean(**mean)) / deviation, {}


class Attention(Layer):
    """softmax(Q Kᵀ) X with a bias of the keys, which adds the same number to all scores of a query."""

    def init(self, rng: Any, *x_shapes: Any) -> Any:
        features = x_shapes[0][-1]
        shapes = {"query": (features, 4), "key": (features, 4), "key_bias": (4,)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def forward(self, x: Any, query: Any, key: Any, key_bias: Any) -> Any:
        q, k = x @ query, x @ key + key_bias
        scores = q @ np.swapaxes(k, 1, 2)
        p = np.exp(scores - scores.real.max(axis=2, keepdims=True))
        p = p / p.sum(axis=2, keepdims=True)
        return p @ x, (x, query, key, q, k, p)

    def backward(self, dy: Any, cache: Any) -> Any:
        x, query, key, q, k, p = cache
        dp = dy @ np.swapaxes(x, 1, 2)
        d_scores = p * (dp - (dp * p).sum(axis=2, keepdims=True))
        dq, dk = d_scores @ k, np.swapaxes(d_scores, 1, 2) @ q
        dx = np.swapaxes(p, 1, 2) @ dy + dq @ query.T + dk @ key.T
        d_query, d_key = (np.einsum("nti,ntj->ij", x, d) for d in (dq, dk))
        return dx, {"query": d_query, "key": d_key, "key_bias": dk.sum(axis=(0, 1))}


# A gradient of zero, although something moves -------------------------------------------------------------------------

VACUOUS = {
    "batch normalisation": ((Linear(4), Normalised(), Tanh(), Linear(2)), X, "linear_1.bias"),
    "instance normalisation": (
        (Conv2d(2, 3), InstanceNorm(), Flatten(), Linear(2)), normal(2, 1, 5, 6), "conv2d_1.bias",
    ),
    "key bias": ((Attention(),), normal(2, 5, 3), "attention_1.key_bias"),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", VACUOUS)
def test_tensor_whose_influence_cancels_gets_one_note(name: str, method: str, dtype: str) -> None:
    layers, x, tensor = VACUOUS[name]
    report = check(*layers, x=x, method=method, dtype=dtype, checks=ONLY)
    assert not errors(report), told(report)
    assert notes(report) == [("GC601", tensor)], told(report)
    found = row(report, tensor)
    assert (found.verdict, found.untested, found.detectable) == ("pass", found.entries, None), told(report)
    others = [r for r in report.rows if r.name != tensor]
    assert all(r.detectable is not None and r.detectable < 1 for r in others), told(report)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("weight", [1e-30, 1.0, 1e30])
def test_what_is_said_does_not_depend_on_the_scale_of_the_loss(weight: float, method: str, dtype: str) -> None:
    layers: list[Any] = [
        ("a", Linear(4), ("input",)), ("b", Normalised(), ("a",)), ("c", Linear(4), ("b",)), ("d", Relu(), ("c",)),
        ("e", Linear(2), ("d",)),
    ]  # fmt: skip
    terms = [Term(Mse(), "mean", weight, ("e",), {"target": "target"})]
    own = {"c.bias": np.array([-100.0, 1.0, 2.0, 3.0])}
    data = {"input": X, "target": normal(5, 2)}
    report = judged(graph(data, layers, terms, parameters=own, method=method, dtype=dtype, checks=ONLY))
    assert not errors(report), told(report)
    assert notes(report) == [("GC601", "a.bias"), ("GC602", None)], told(report)
    expected = {"a.bias": 4, "c.weight": 4, "c.bias": 1, "e.weight": 2}
    assert untested(report) == expected, told(report)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_bias_gradient_without_the_centring_of_the_normalisation_behind_it_fails(method: str, dtype: str) -> None:
    uncentred = {}

    class Listening(Normalised):
        def backward(self, dy: Any, cache: Any) -> Any:
            uncentred["db"] = dy.sum(axis=0)
            return super().backward(dy, cache)

    layer = wrong(lambda dx, g: (dx, {**g, "bias": uncentred["db"].astype(g["bias"].dtype)}), 4)
    report = check(layer, Listening(), Tanh(), Linear(2), x=X, method=method, dtype=dtype, checks=ONLY)
    assert row(report, "wrong_linear_1.bias").counts.fail == 4, told(report)
    assert ("wrong_linear_1", "wrong_linear_1.bias") in blamed(report), told(report)
    assert not notes(report), told(report)


def test_term_with_the_weight_zero_is_no_tensor_that_is_never_reached() -> None:
    terms = [Term(Mse(), "mean", 0.0, ("a",), {"target": "target"})]
    data = {"input": X, "target": normal(5, 2)}
    report = judged(graph(data, [("a", Linear(2), ("input",))], terms, checks=ONLY))
    assert {code for code, _ in notes(report)} == {"GC601"}, told(report)


# Weights behind a zero ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "central"])
def test_weights_behind_an_input_that_is_always_zero_are_counted_without_a_note(method: str) -> None:
    x = X.copy()
    x[:, 1] = 0
    report = check(Linear(4), Tanh(), Linear(2), x=x, method=method, checks=ONLY)
    assert report.verdict == "pass", told(report)
    assert not report.findings, told(report)
    assert untested(report) == {"linear_1.weight": 4}


def test_weights_in_front_of_weights_of_zero() -> None:
    none = check(Linear(4), Tanh(), Linear(2), x=X, parameters={"linear_2.weight": np.zeros((4, 2))}, checks=ONLY)
    tensors = ("linear_1.weight", "linear_1.bias", "input")
    assert notes(none) == [("GC601", name) for name in tensors], told(none)
    one = normal(4, 2)
    one[0] = 0
    some = check(Linear(4), Tanh(), Linear(2), x=X, parameters={"linear_2.weight": one}, checks=ONLY)
    assert not some.findings, told(some)
    assert untested(some) == {"linear_1.weight": 3, "linear_1.bias": 1}


def test_entries_that_fail_or_sit_on_a_kink_are_not_counted_as_untested() -> None:
    def leak(dx: Any, g: Any) -> Any:
        g["bias"][0] = 1e-5
        return dx, g

    own = of("wrong_linear_1", ONE_DEAD)
    report = check(wrong(leak, 4), Relu(), Linear(2), x=X, parameters=own, checks=ONLY)
    assert untested(report) == {"wrong_linear_1.weight": 3, "linear_1.weight": 2}, told(report)
    at_zero = check(Relu(), Linear(2), x=np.zeros((3, 4)), checks=ONLY)
    assert row(at_zero, "input").counts.kink == 12
    assert row(at_zero, "input").untested == 0


# Dead units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("black_box", [False, True])
def test_dead_unit_is_named_with_what_was_not_tested_because_of_it(black_box: bool, method: str, dtype: str) -> None:
    layers = (Linear(4), relu_with(0.0, True) if black_box else Relu(), Linear(2))
    report = check(*layers, x=X, parameters=of("linear_1", ONE_DEAD), method=method, dtype=dtype, checks=ONLY)
    assert report.verdict == "pass", told(report)
    layer = "black_relu_1" if black_box else "relu_1"
    (note,) = report.findings
    assert (note.code, note.severity, note.layer, note.parameter) == ("GC602", "note", layer, None)
    assert note.message == (
        f"{layer}: 1 of its 4 units (0) does not change in any sample when its inputs move, so nothing was tested in "
        "3 of 12 entries of linear_1.weight, 1 of 4 entries of linear_1.bias and 2 of 8 entries of linear_2.weight"
    )
    assert untested(report) == {"linear_1.weight": 3, "linear_1.bias": 1, "linear_2.weight": 2}


class LinearRelu(Linear):
    """Both in one layer: no input of a ReLU can be moved from outside."""

    def forward(self, x: Any, weight: Any, bias: Any = None) -> Any:
        y, cache = super().forward(x, weight, bias)
        return np.where(y.real > 0, y, 0), (cache, y.real > 0)

    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(np.where(cache[1], dy, 0), cache[0])


def test_dead_unit_of_a_layer_with_parameters_of_its_own() -> None:
    x = X.copy()
    x[:, 2] = 0  # a row of the weight that is untested for another reason
    report = check(LinearRelu(4), Linear(2), x=x, parameters=of("linear_relu_1", ONE_DEAD), checks=ONLY)
    assert message(report, "GC602").endswith(
        "3 of 12 entries of linear_relu_1.weight, 1 of 4 entries of linear_relu_1.bias and 2 of 8 entries of "
        "linear_1.weight"
    ), told(report)
    assert untested(report)["linear_relu_1.weight"] == 3 + 3


def test_saturated_unit_is_dead_and_what_it_feeds_is_not() -> None:
    own = of("linear_1", {"weight": normal(3, 4), "bias": np.array([60.0, 1.0, 2.0, 3.0])})
    report = check(Linear(4), Sigmoid(), Linear(2), x=X, parameters=own, checks=ONLY)
    assert untested(report) == {"linear_1.weight": 3, "linear_1.bias": 1}, told(report)
    assert message(report, "GC602").startswith("sigmoid_1: 1 of its 4 units (0) does not change")


def test_layer_without_a_living_unit_is_told_beside_the_tensors_without_a_gradient() -> None:
    own = of("linear_1", {"weight": normal(3, 4), "bias": np.full(4, -100.0)})
    report = check(Linear(4), Relu(), Linear(2), x=X, parameters=own, checks=ONLY)
    tensors = ("linear_1.weight", "linear_1.bias", "linear_2.weight", "input")
    assert notes(report) == [*(("GC601", name) for name in tensors), ("GC602", None)], told(report)
    assert message(report, "GC602") == (
        "relu_1: none of its 4 units changes in any sample when its inputs move, so nothing was tested in "
        "all 12 entries of linear_1.weight, all 4 entries of linear_1.bias, all 8 entries of linear_2.weight and "
        "all 15 entries of input"
    )


@pytest.mark.parametrize("method", ["auto", "central"])
def test_dead_channel_of_an_image(method: str) -> None:
    layers = (Conv2d(3, 3), Relu(), MaxPool2d(2), Conv2d(4, 2), Relu(), Flatten(), Linear(2))
    own = {"conv2d_1.bias": np.array([0.1, -50.0, 0.2]), "conv2d_2.bias": np.full(4, 0.5)}
    report = check(*layers, x=normal(2, 1, 8, 7), parameters=own, method=method, checks=ONLY)
    assert not errors(report), told(report)
    assert notes(report) == [("GC602", None)], told(report)
    assert message(report, "GC602") == (
        "relu_1: 1 of its 3 channels (1) does not change in any sample when its inputs move, so nothing was tested in "
        "9 of 27 entries of conv2d_1.weight, 1 of 3 entries of conv2d_1.bias and 16 of 48 entries of conv2d_2.weight"
    )


def test_pixels_that_lose_a_maximum_and_borders_are_no_dead_units() -> None:
    report = check(Conv2d(2, 3, padding=1), MaxPool2d(2), Flatten(), Linear(2), x=normal(2, 1, 7, 5), checks=ONLY)
    assert row(report, "input").untested > 0, told(report)
    assert not report.findings, told(report)


class Beside(Layer):
    """x, and beside it units that are dead."""

    def forward(self, x: Any) -> Any:
        return np.concatenate([x, np.where(x.real > 100, x, 0)], axis=1), x

    def backward(self, dy: Any, cache: Any) -> Any:
        features = cache.shape[1]
        return dy[:, :features] + np.where(cache > 100, dy[:, features:], 0), {}


def test_dead_unit_because_of_which_nothing_is_untested_is_not_told() -> None:
    x = X.copy()
    x[:, 2] = 0
    report = check(Linear(4), Beside(), Tanh(), x=x, checks=ONLY)
    assert report.verdict == "pass", told(report)
    assert not report.findings, told(report)
    assert untested(report) == {"linear_1.weight": 4}


def test_zeros_of_living_units_are_not_counted_for_the_dead_one() -> None:
    """Unit 1 sits on its kink in every sample, and in sample 3 no unit is above zero."""
    weight, bias = np.abs(normal(3, 4)), np.array([-100.0, 0.0, 0.1, 0.2])
    weight[:, 1] = 0
    x = np.abs(X)
    x[3] = -10
    own = of("linear_1", {"weight": weight, "bias": bias})
    report = check(Linear(4), Relu(), Linear(2), x=x, parameters=own, checks=ONLY)
    assert message(report, "GC602").endswith(
        "3 of 12 entries of linear_1.weight, 1 of 4 entries of linear_1.bias and 2 of 8 entries of linear_2.weight"
    ), told(report)
    assert untested(report)["linear_2.weight"] == 4, told(report)
    assert row(report, "input").counts.kink + untested(report).get("input", 0) >= 3, told(report)


def test_column_that_is_untested_for_another_reason_is_not_counted_beside_a_dead_one() -> None:
    """What units 2 and 3 give is multiplied by 0; unit 0 is dead."""
    own = of("linear_1", ONE_DEAD) | of("linear_2", {"weight": normal(4, 2)})
    own["linear_2.weight"][2:] = 0
    report = check(Linear(4), Relu(), Linear(2), x=X, parameters=own, checks=ONLY)
    assert message(report, "GC602").endswith(
        "3 of 12 entries of linear_1.weight, 1 of 4 entries of linear_1.bias and 2 of 8 entries of linear_2.weight"
    ), told(report)
    assert untested(report) == {"linear_1.weight": 9, "linear_1.bias": 3, "linear_2.weight": 2}


def test_sequence_has_its_units_on_the_last_axis() -> None:
    own = of("linear_1", ONE_DEAD)
    report = check(Linear(4), Relu(), Linear(2), x=normal(2, 5, 3), parameters=own, checks=ONLY)
    assert message(report, "GC602").startswith("relu_1: 1 of its 4 units (0) does not change")
    assert untested(report) == {"linear_1.weight": 3, "linear_1.bias": 1, "linear_2.weight": 2}


def test_each_layer_is_told_once_and_each_entry_counted_once() -> None:
    own = {
        **of("linear_1", ONE_DEAD),
        **of("linear_2", {"weight": 0.1 * normal(4, 3), "bias": np.array([5.0, -3.0, 5.0])}),
    }
    own["linear_2.weight"][0] = 100  # a wide awake unit 0 of the first would wake unit 1 of the second
    report = check(Linear(4), Relu(), Linear(3), Relu(), Linear(2), x=X, parameters=own, checks=ONLY)
    first, second = (finding.message for finding in report.findings)
    assert (
        "3 of 12 entries of linear_1.weight, 1 of 4 entries of linear_1.bias and 3 of 12 entries of linear_2" in first
    )
    assert second == (
        "relu_2: 1 of its 3 units (1) does not change in any sample when its inputs move, so nothing was tested in "
        "3 of 12 entries of linear_2.weight, 1 of 3 entries of linear_2.bias and 2 of 6 entries of linear_3.weight"
    )
    assert untested(report)["linear_2.weight"] == 3 + 3


def test_forward_that_cannot_be_moved_is_not_called_dead() -> None:
    class Strict(Layer):
        def forward(self, x: Any) -> Any:
            if (x != np.round(x)).any():
                raise ValueError("whole numbers only")
            return 0 * x, None

        def backward(self, dy: Any, cache: Any) -> Any:
            return 0 * dy, {}

    layers: list[Any] = [("a", Strict(), ("input",)), ("b", Linear(2), ("a",))]
    terms = [Term(Mse(), "mean", 1.0, ("b",), {"target": "target"})]
    net = graph({"input": np.ones((3, 2)), "target": normal(3, 2)}, layers, terms)
    stage = Stage(net.network, net.point, frozenset(), Observables(net.network, net.point, False))
    marked = {name: np.ones(stage.arrays[name].shape, dtype=bool) for name in ("b.weight", "input")}
    assert dead_units(stage, marked) == []


# Never reached --------------------------------------------------------------------------------------------------------


class Forgetful(Layer):
    """Two parameters, of which forward forgets one."""

    answer = 0.0

    def init(self, rng: Any, *x_shapes: Any) -> Any:
        return {name: rng.standard_normal(x_shapes[0][1]) for name in ("scale", "shift")}

    def forward(self, x: Any, scale: Any, shift: Any) -> Any:
        return x * scale, (x, scale)

    def backward(self, dy: Any, cache: Any) -> Any:
        x, scale = cache
        return dy * scale, {"scale": (dy * x).sum(axis=0), "shift": np.full_like(scale, self.answer)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_parameter_that_forward_forgets(method: str, dtype: str) -> None:
    report = check(Forgetful(), Linear(2), x=X, method=method, dtype=dtype, checks=ONLY)
    assert report.verdict == "pass", told(report)
    assert notes(report) == [("GC603", "forgetful_1.shift")], told(report)
    assert message(report, "GC603") == (
        "forgetful_1.shift: nothing was tested here; no loss depends on it, here or elsewhere: the forward of "
        "forgetful_1 takes no notice of it"
    )
    assert untested(report) == {"forgetful_1.shift": 3}


def test_backward_that_gives_such_a_parameter_a_gradient_fails() -> None:
    layer = Forgetful()
    layer.answer = 0.1  # type: ignore[misc]
    report = check(layer, Linear(2), x=X, checks=ONLY)
    assert blamed(report) == [("forgetful_1", "forgetful_1.shift")], told(report)
    assert not notes(report), told(report)


def zero(x: Any) -> Any:
    return 0 * x


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("forward", [zero, np.ones_like], ids=["times zero", "constant"])
def test_layer_that_ignores_its_input_hides_what_is_in_front_of_it(forward: Any, method: str) -> None:
    report = check(Linear(4), plug(forward, lambda x: 0.0), Linear(2), x=X, method=method, checks=ONLY)
    assert not errors(report), told(report)
    hidden = [f for f in report.findings if f.parameter in ("linear_1.weight", "linear_1.bias", "input")]
    assert [f.code for f in hidden] == ["GC603"] * 3, told(report)
    assert all("its influence ends at plug_1: the same comes out whatever goes in" in f.message for f in hidden)
    behind = [f.message for f in report.findings if f.parameter == "linear_2.weight"]
    assert [("what linear_2 is given never leaves anything of it" in text) for text in behind] == [True] * (
        forward is zero
    )
    assert len(report.findings) == len(hidden) + len(behind), told(report)


def test_layer_that_nothing_uses() -> None:
    layers: list[Any] = [("a", Linear(2), ("input",)), ("b", Linear(3), ("input",)), ("c", Tanh(), ("b",))]
    terms = [Term(Mse(), "mean", 1.0, ("a",), {"target": "target"})]
    data = {"input": X, "other": normal(5, 2, seed=1), "target": normal(5, 2)}
    report = judged(graph(data, layers, terms, inputs=("input", "other"), checks=ONLY))
    assert notes(report) == [("GC603", "b.weight"), ("GC603", "b.bias"), ("GC603", "other")], told(report)
    ends = [finding.message.split(": ")[-1] for finding in report.findings]
    assert ends == ["c, which it feeds, is used by nothing"] * 2 + ["no layer and no loss takes it"]


@pytest.mark.parametrize(("wide", "code"), [(0.1, "GC603"), (1e-12, "GC601")])
def test_where_the_forward_is_at_home_only_near_the_point_never_is_said_with_care(wide: float, code: str) -> None:
    class Near(Forgetful):
        def forward(self, x: Any, scale: Any, shift: Any) -> Any:
            if (np.abs(scale.real - 1) > wide).any():
                raise ValueError("out of my domain")
            return super().forward(x, scale, shift)

        def backward(self, dy: Any, cache: Any) -> Any:
            return super().backward(dy, cache)

    own = {"near_1.scale": np.full(3, 1.0)}
    report = check(Near(), Linear(2), x=X, parameters=own, checks=ONLY, entries=(("near_1.shift", (0,)),))
    assert notes(report) == [(code, "near_1.shift")], told(report)


def test_parameter_that_only_makes_forward_raise_is_not_called_unreached() -> None:
    class Guard(Forgetful):
        def forward(self, x: Any, scale: Any, shift: Any) -> Any:
            if (np.abs(shift.real) > 10).any():
                raise ValueError("too great")
            return super().forward(x, scale, shift)

        def backward(self, dy: Any, cache: Any) -> Any:
            return super().backward(dy, cache)

    report = check(Guard(), Linear(2), x=X, checks=ONLY)
    assert notes(report) == [("GC601", "guard_1.shift")], told(report)


def test_points_without_a_finite_loss_say_nothing() -> None:
    log = plug(lambda x: np.log(x) + 0 * np.log(x).sum(), lambda x: 1 / x)
    log_case = case(log, x=np.ones((2, 3)))
    with np.errstate(all="ignore"):
        found = list(_elsewhere(SimpleNamespace(case=log_case)))  # type: ignore[arg-type]
    assert 0 < len(found) < 10
    assert all(np.isfinite(arrays["plug_1"]).all() for arrays in found)


@pytest.mark.parametrize("units", [1, 2, 4])
def test_gradient_of_zero_at_the_point_alone_is_reached_elsewhere(units: int) -> None:
    """All units dead, however far: not the same as a forward that takes no notice."""
    own = of("linear_1", {"weight": normal(3, units), "bias": np.full(units, -1e6)})
    report = check(Linear(units), Relu(), Linear(2), x=X, parameters=own, checks=ONLY)
    assert "GC603" not in {code for code, _ in notes(report)}, told(report)


# What they are made of ------------------------------------------------------------------------------------------------


def test_operands_of_equal_size_do_not_move_alike() -> None:
    """Or their difference would not change, and its units would be called dead."""
    x = {"a": normal(4, 3), "b": normal(4, 3, seed=1)}
    first, *_ = small_moves(x, ["a", "b"])
    assert not np.allclose(first["a"] - x["a"], first["b"] - x["b"])


def test_integers_are_never_moved() -> None:
    moves = small_moves({"a": X, "k": np.arange(3)}, ["k", "a"])
    assert [list(moved) for moved in moves] == [["a"]] * 4


def test_moves_are_small_come_in_both_directions_and_move_every_entry_differently() -> None:
    array = normal(4, 3)
    first, opposite, *others = (moved["x"] - array for moved in small_moves({"x": array}, ["x"]))
    assert np.allclose(first, -opposite, rtol=1e-3)
    assert len(others) == 2
    assert not np.allclose(np.abs(first), np.abs(others[0]))
    assert len(np.unique(np.abs(first).round(12))) == array.size
    assert 0 < np.abs(first).min() <= np.abs(first).max() < 1e-4


def test_what_is_carried_stops_where_nothing_changes() -> None:
    layers: list[Any] = [("a", Linear(2), ("input",)), ("b", Relu(), ("a",)), ("c", Tanh(), ("b",))]
    terms = [Term(Mse(), "mean", 1.0, ("c",), {"target": "target"})]
    own = {"a.bias": np.array([-100.0, 100.0])}
    net = graph({"input": X, "target": normal(5, 2)}, layers, terms, parameters=own)
    arrays = net.network.forward(net.point).arrays
    for entry, expected in ((0, ["a.bias", "a"]), (1, ["a.bias", "a", "b"])):
        moved = arrays["a.bias"].copy()
        moved[entry] += 1e-3
        until = net.network.node("c")
        assert list(carried(net.network, arrays, {"a.bias": moved}, until)) == expected


def test_nan_differs_from_a_number_and_not_from_nan() -> None:
    assert differs(np.array([np.nan, np.nan, 1.0, 2.0]), np.array([np.nan, 1.0, np.nan, 2.0])).tolist() == [
        False, True, True, False,
    ]  # fmt: skip
