"""Which unit of which layer has no derivative where an entry is, from forward alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Array, Declared, graph, normal, pair_max, plug, relu_with, stage_of
from numpy.testing import assert_allclose
from support import case

from gradcheck.gradients.numeric.sites import MOST_UNITS, Site, Sites, sites
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.elu import Elu
from gradcheck.layers.leaky_relu import LeakyRelu
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.l1 import L1
from gradcheck.network import Term

H = 2.0**-17


def met(*layers: Layer, x: Any, at: tuple[int, ...], name: str = "input", on_border: bool = False, **net: Any) -> Sites:
    """The sites of one entry of a chain of layers."""
    (found,) = sites(stage_of(case(*layers, x=np.asarray(x, dtype=float), **net)), name, [at], H, on_border)
    return found


def only(found: Sites) -> Site:
    (site,) = found.first
    assert found.count == 1
    return site


class Forwards(Layer):
    """A layer that has no backward worth the name."""

    def backward(self, dy: Any, cache: Any) -> Any:
        raise AssertionError("where a kink is, forward says")


# Layers that say where their kinks are --------------------------------------------------------------------------------


def test_relu_over_zero_pixels() -> None:
    x = np.zeros((2, 1, 3, 4))
    x[1, 0, 0, 0] = 1
    weight = np.array([[[[2.0, -3.0]]], [[[0.5, 0.0]]]])
    layers = (Conv2d(2, (1, 2), bias=False), Relu())
    found = met(*layers, x=x, at=(1, 0, 1, 2), parameters={"conv2d_1.weight": weight})
    left, *others = found.first
    assert found.count == 3, "the channel of weight 0 does not move where the kernel ends"
    assert (left.layer, left.output, left.unit, left.sampled) == ("relu_1", "relu_1", (1, 0, 1, 1), "input")
    assert left.values == (3 * H, 0.0, -3 * H)
    assert left.slopes == (-3.0, 0.0)
    assert [(site.unit, site.slopes) for site in others] == [((1, 0, 1, 2), (0.0, 2.0)), ((1, 1, 1, 2), (0.0, 0.5))]


def test_leaky_relu_has_two_slopes_and_a_straight_one_no_kink() -> None:
    site = only(met(LeakyRelu(negative_slope=0.25), x=[[0.0, 1.0]], at=(0, 0)))
    assert (site.layer, site.values, site.slopes) == ("leaky_relu_1", (-H, 0.0, H), (0.25, 1.0))
    assert met(LeakyRelu(negative_slope=1.0), x=[[0.0, 1.0]], at=(0, 0), trusted=True) == Sites(H)


def test_border_without_two_slopes_is_no_kink() -> None:
    assert met(Elu(alpha=1.0), x=[[0.0, 1.0]], at=(0, 0), trusted=True) == Sites(H)


def test_unit_that_stays_on_its_piece_behind_a_kink_is_no_kink() -> None:
    second = {"linear_1.weight": np.array([[1.0, 1.0]]), "linear_1.bias": np.array([0.0, 1.0])}
    found = met(Relu(), Linear(2), Relu(), x=[[0.0]], at=(0, 0), parameters=second, trusted=True)
    assert [(site.layer, site.unit) for site in found.first] == [("relu_1", (0, 0)), ("relu_2", (0, 0))]


def test_tie_in_a_maximum() -> None:
    x = [[[[0.5, 0.5], [-1.0, 0.25]]]]
    site = only(met(MaxPool2d(2), x=x, at=(0, 0, 0, 1), trusted=True))
    assert (site.output, site.unit, site.sampled) == ("max_pool2d_1", (0, 0, 0, 0), "output")
    assert site.values == (0.5, 0.5, 0.5 + H)
    assert site.slopes == (0.0, 1.0)
    assert met(MaxPool2d(2), x=x, at=(0, 0, 1, 1), trusted=True) == Sites(H), "it is not in the tie"


def test_tied_entries_that_move_together_meet_no_kink() -> None:
    x = [[[[0.0, 0.0], [0.0, 0.0]]]]
    found = met(Conv2d(1, 1), MaxPool2d(2), x=x, name="conv2d_1.bias", at=(0,), trusted=True)
    assert found == Sites(H)


def test_losses_have_kinks_too() -> None:
    net: dict[str, Any] = {"loss": L1(), "target": np.array([[1.0, 2.0]]), "trusted": True}
    site = only(met(x=[[1.0, 3.0]], at=(0, 0), **net))
    assert (site.layer, site.output, site.unit, site.sampled) == ("loss", "loss", (0, 0), "output")
    assert site.values == (H, 0.0, H)
    assert site.slopes == (-1.0, 1.0)
    assert met(x=[[1.0, 3.0]], at=(0, 1), **net) == Sites(H)


def test_target_stays_where_it_is_when_it_is_the_input_that_moves() -> None:
    term = Term(L1(), "mean", 1.0, ("linear_1",), {"target": "input"})
    same = {"linear_1.weight": np.eye(2)}
    net = graph({"input": normal(3, 2)}, [("linear_1", Linear(2, bias=False), ("input",))], [term], parameters=same)
    site = only(sites(stage_of(net), "input", [(1, 0)], H)[0])
    assert site.unit == (1, 0)
    assert_allclose(site.slopes, (-1, 1))


@pytest.mark.parametrize("near", [H / 3, -H / 3])
def test_kink_nearby_is_met_with_the_slopes_of_its_two_pieces(near: float) -> None:
    x = [[near, 1.0]]
    site = only(met(Relu(), x=x, at=(0, 0)))
    assert site.values == (near - H, near, near + H)
    assert_allclose(site.slopes, (0, 1), atol=1e-9)
    assert met(Relu(), x=x, at=(0, 0), on_border=True, trusted=True) == Sites(H)
    assert met(Relu(), x=[[1.5 * H]], at=(0, 0), trusted=True) == Sites(H)


def test_on_the_border_still_counts_what_lies_on_it() -> None:
    assert only(met(Relu(), x=[[0.0]], at=(0, 0), on_border=True)).slopes == (0.0, 1.0)


def test_every_layer_on_the_path_is_looked_at_and_few_units_of_each_are_told() -> None:
    many = Linear(MOST_UNITS + 2, bias=False), Relu(), Linear(2, bias=False), Relu()
    found = met(*many, x=[[0.0, 0.0]], at=(0, 1))
    assert found.count == MOST_UNITS + 4
    assert [(site.layer, site.unit) for site in found.first] == [
        ("relu_1", (0, 0)), ("relu_1", (0, 1)), ("relu_1", (0, 2)), ("relu_2", (0, 0)), ("relu_2", (0, 1)),
    ]  # fmt: skip


def test_parameters_meet_kinks_in_every_sample() -> None:
    layers = Linear(2), Relu()
    found = met(*layers, x=np.zeros((2, 3)), name="linear_1.bias", at=(1,), parameters={"linear_1.bias": np.zeros(2)})
    assert [site.unit for site in found.first] == [(0, 1), (1, 1)]
    nowhere = met(*layers, x=np.zeros((2, 3)), name="linear_1.weight", at=(1, 1), trusted=True)
    assert nowhere == Sites(H), "an input of zero does not let a weight move anything"


def test_units_that_are_not_the_outputs_are_told_by_the_outputs_of_their_samples() -> None:
    class Signs(Forwards):
        """y = (|x|, 2 x); says only in which samples some x is negative."""

        def forward(self, x: Any) -> Any:
            return np.concatenate([np.where(x.real < 0, -x, x), 2 * x], axis=1), None

        def branches(self, *inputs: Array, **parameters: Array) -> Array:
            return np.where((inputs[0] == 0).any(axis=1), -1, (inputs[0] > 0).all(axis=1))

    site = only(met(Signs(), x=[[1.0, 0.0], [2.0, 0.0]], at=(1, 1), trusted=True))
    assert (site.unit, site.slopes) == ((1, 1), (-1.0, 1.0))


# Black boxes ----------------------------------------------------------------------------------------------------------


def test_absolute_value_at_zero() -> None:
    site = only(met(plug(np.abs, np.sign), x=[[0.0, 1.0]], at=(0, 0)))
    assert (site.layer, site.unit, site.sampled) == ("plug_1", (0, 0), "output")
    assert (site.values, site.slopes) == ((H, 0.0, H), (-1.0, 1.0))
    assert met(plug(np.abs, np.sign), x=[[0.0, 1.0]], at=(0, 1)) == Sites(H)


@pytest.mark.parametrize(("bound", "slopes"), [(-1.0, (0.0, 1.0)), (1.0, (1.0, 0.0))])
def test_clamp_at_its_bounds(bound: float, slopes: tuple[float, float]) -> None:
    clamp = plug(lambda x: np.clip(x, -1, 1), lambda x: np.abs(x) < 1)
    assert only(met(clamp, x=[[0.5, bound]], at=(0, 1))).slopes == slopes
    assert met(clamp, x=[[0.5, bound]], at=(0, 0)) == Sites(H)


def test_kink_nearby_in_a_black_box() -> None:
    site = only(met(plug(np.abs, np.sign), x=[[H / 8]], at=(0, 0)))
    assert_allclose(site.slopes, (-1, 1), atol=1e-9)


@pytest.mark.parametrize(
    "smooth",
    [
        lambda x: x * x,
        lambda x: np.exp(20 * x),
        lambda x: np.logaddexp(0, x / H),
        lambda x: np.logaddexp(0, 4 * x / H),
        lambda x: x.astype(np.float32).astype(float) ** 2 + x,
    ],
    ids=["square", "steep", "bends within a few steps", "bends within one", "rounds to float32"],
)
def test_smooth_black_box_has_no_kink(smooth: Any) -> None:
    x = [[0.0, 0.3]]
    for at in ((0, 0), (0, 1)):
        assert met(plug(smooth, lambda x: x), x=x, at=at) == Sites(H)


def test_noise_is_no_kink() -> None:
    rough = plug(lambda x: (x.astype(np.float32) * np.float32(1.1)).astype(float), lambda x: 1.1)
    for value in np.linspace(0.3, 0.4, 40):
        assert met(rough, x=[[value]], at=(0, 0)) == Sites(H)


@pytest.mark.parametrize("first", [relu_with(0.0), relu_with(0.0, black_box=True)], ids=["telling", "black box"])
def test_smooth_black_box_behind_a_kink_has_none(first: Layer) -> None:
    site = only(met(first, plug(lambda x: 2 * x, lambda x: 2), x=[[0.0, 1.0]], at=(0, 0)))
    assert site.layer.endswith("relu_1") or site.layer == "relu_at_1"


def test_black_box_behind_a_kink_that_nobody_counts_has_none() -> None:
    found = met(Relu(), plug(lambda x: 2 * x, lambda x: 2), x=[[H / 8]], at=(0, 0), on_border=True)
    assert found == Sites(H)


@pytest.mark.parametrize(
    ("first", "slopes"),
    [(lambda x: np.maximum(x, 0), (0.0, 3.0)), (lambda x: np.minimum(x, 0), (-3.0, 0.0))],
    ids=["leaves upwards", "leaves downwards"],
)
def test_kink_behind_a_kink_is_found_with_the_slopes_along_the_entry(first: Any, slopes: tuple[float, float]) -> None:
    layers = plug(first, lambda x: 1), plug(lambda x: np.abs(3 * x), lambda x: 3 * np.sign(x))
    one, other = met(*layers, x=[[0.0]], at=(0, 0)).first
    assert [(one.layer, one.slopes[0] != one.slopes[1]), (other.layer, other.slopes)] == [
        ("plug_1", True), ("plug_2", slopes),
    ]  # fmt: skip


def test_tie_in_a_black_box() -> None:
    site = only(met(pair_max((0.5, 0.5), black_box=True), x=[[1.0, 1.0, 3.0, 2.0]], at=(0, 0)))
    assert (site.layer, site.unit, site.slopes) == ("pair_max_1", (0, 0), (0.0, 1.0))


@pytest.mark.parametrize("tells", [True, False], ids=["telling", "black box"])
def test_reducing_loss_is_one_unit(tells: bool) -> None:
    class Distance(Loss):
        reductions = ("sum", "mean")

        def branches(self, prediction: Any, target: Any) -> Any:
            return np.where(prediction == target, -1, prediction > target) if tells else None

        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            return 2 * np.abs(prediction - target).sum(), None

        def backward(self, upstream: Any, cache: Any) -> Any:
            raise AssertionError("where a kink is, forward says")

    site = only(met(x=[[1.0, 3.0]], at=(0, 0), loss=Distance(), target=np.array([[1.0, 2.0]])))
    assert (site.output, site.unit, site.slopes) == ("loss", (), (-2.0, 2.0))
    assert met(x=[[1.0, 3.0]], at=(0, 0), loss=Declared(), target=np.array([[1.0, 2.0]])) == Sites(H)


# Odd layers -----------------------------------------------------------------------------------------------------------


class Polar(Forwards):
    """y = sin x, |x| and whether x is positive: three outputs, one of them with a kink, one of them no real number."""

    def forward(self, x: Any) -> Any:
        return (np.sin(x), np.abs(x), x > 0), None


class TakesTwo(Forwards):
    """y = a + b, for the first two of Polar's outputs."""

    def forward(self, a: Any, b: Any, positive: Any) -> Any:
        return a + b, None


def test_several_outputs() -> None:
    assert only(met(Polar(), TakesTwo(), x=[[1.0, 0.0]], at=(0, 1))).output == "polar_1.1"


def test_several_inputs() -> None:
    layers = [("relu_1", Relu(), ("input",)), ("add_1", Add(), ("relu_1", "input"))]
    net = graph({"input": np.array([[0.0]])}, layers, [Term(Square(), "mean", 1.0, ("add_1",), {})])
    assert only(sites(stage_of(net), "input", [(0, 0)], H)[0]).layer == "relu_1"


class Square(Loss):
    """l = p²; no target."""

    def forward(self, prediction: Any) -> Any:
        return prediction * prediction, None

    def backward(self, upstream: Any, cache: Any) -> Any:
        raise AssertionError("where a kink is, forward says")


def test_forward_that_raises_beside_the_point_tells_nothing() -> None:
    class Strict(Forwards):
        def forward(self, x: Any) -> Any:
            if (x > H).any():
                raise ValueError("too great")
            return np.abs(x), None

    stage = stage_of(case(Strict(), x=np.array([[-1.0]])))
    assert sites(stage, "input", [(0, 0)], H) == [Sites(H)]
    assert sites(stage_of(case(Strict(), x=np.array([[0.0]]))), "input", [(0, 0)], H) == [Sites(H, told=False)]


def test_entries_are_told_one_by_one_and_noise_is_measured_once() -> None:
    class Counted(Forwards):
        calls = 0

        def forward(self, x: Any) -> Any:
            type(self).calls += 1
            return np.abs(x), None

    stage = stage_of(case(Counted(), x=np.array([[0.0, 1.0], [0.0, 0.0]])))
    calls = []
    for entries in ([(0, 0)], [(0, 0), (0, 1), (1, 1)]):
        before, found = Counted.calls, sites(stage, "input", entries, H)
        assert [[site.unit for site in each.first] for each in found] == [[e] if e != (0, 1) else [] for e in entries]
        calls.append(Counted.calls - before)
    assert calls[1] - calls[0] == 2 * 9, "the places of two entries more"


def test_leaving_the_domain_is_no_kink() -> None:
    assert met(plug(np.sqrt, lambda x: 0.5 / np.sqrt(x)), Relu(), x=[[H / 2]], at=(0, 0), trusted=True) == Sites(H)


def test_step_that_moves_nothing_finds_nothing() -> None:
    stage = stage_of(case(Relu(), plug(np.abs, np.sign), x=np.array([[1.0]])))
    assert sites(stage, "input", [(0, 0)], 2.0**-80) == [Sites(2.0**-80)]


def test_same_question_same_answer_and_the_stage_is_left_alone() -> None:
    stage = stage_of(case(Linear(4), Relu(), Tanh(), Linear(2), x=np.zeros((3, 2))))
    before = {name: array.copy() for name, array in stage.arrays.items()}
    assert sites(stage, "input", [(1, 1)], H) == sites(stage, "input", [(1, 1)], H)
    for name, array in before.items():
        np.testing.assert_array_equal(stage.arrays[name], array)


def test_activations_can_be_moved_too() -> None:
    site = only(sites(stage_of(case(Linear(2, bias=False), Relu(), x=np.zeros((2, 3)))), "linear_1", [(1, 0)], H)[0])
    assert (site.layer, site.unit) == ("relu_1", (1, 0))
