from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Declared, Gate, graph, normal, plug
from support import case

from gradcheck.assembly import Assembly
from gradcheck.errors import LayerFailure, ShapeError
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.network import Network, Node, Point, Term

X, TARGET = normal(4, 3), normal(4, 2)


def assembly(dtype: str = "float64", seed: int = 7, **weights: Any) -> Assembly:
    return Assembly({"input": X, "target": TARGET}, ("input",), frozenset({"input", "target"}), seed, dtype, weights)


def chain() -> Any:
    return case(Linear(5), Tanh(), Linear(2), x=X, loss=Mse(), target=TARGET)


def way_around() -> Network:
    layers: list[Any] = [
        ("a", Linear(3), ("input",)), ("b", Tanh(), ("a",)), ("c", Add(), ("b", "input")), ("d", Linear(2), ("c",)),
        ("aside", Linear(4), ("a",)),
    ]  # fmt: skip
    terms = [Term(Mse(), "mean", 1.0, ("d",), {"target": "target"})]
    return graph({"input": X, "target": TARGET}, layers, terms).network


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_forward_is_the_layers_one_after_another() -> None:
    net = chain()
    p, trace = net.point.arrays, net.network.forward(net.point)
    hidden = np.tanh(X @ p["linear_1.weight"] + p["linear_1.bias"])
    output = hidden @ p["linear_2.weight"] + p["linear_2.bias"]
    np.testing.assert_allclose(trace.arrays["tanh_1"], hidden, rtol=1e-15)
    np.testing.assert_allclose(trace.arrays["linear_2"], output, rtol=1e-15)
    np.testing.assert_allclose(trace.losses[0], (output - TARGET) ** 2, rtol=1e-14)


@pytest.mark.parametrize(("reduction", "divisor"), [("sum", 1), ("mean", 8), ("batch_mean", 4)])
def test_objective_is_the_reduced_loss(reduction: str, divisor: int) -> None:
    net = case(Linear(2), x=X, loss=Mse(), target=TARGET, reduction=reduction)
    trace = net.network.forward(net.point)
    assert net.network.objective(trace) == pytest.approx(trace.losses[0].sum() / divisor, rel=1e-15)


def test_objective_adds_the_weighted_terms_of_either_form() -> None:
    terms = [
        Term(Mse(), "none", 2.0, ("a",), {"target": "target"}),
        Term(Declared(), "mean", -3.0, ("a",), {"target": "target"}, name="loss_2"),
    ]
    net = graph({"input": X, "target": TARGET}, [("a", Linear(2), ("input",))], terms)
    trace = net.network.forward(net.point)
    squares = (trace.arrays["a"] - TARGET) ** 2
    contraction = net.point.arrays["loss.contraction"]
    assert net.network.objective(trace) == pytest.approx(2 * (squares * contraction).sum() - 3 * squares.mean())


def test_plugin_gets_copies_and_cannot_change_our_arrays() -> None:
    class Vandal(Layer):
        def forward(self, x: Any) -> Any:
            x *= 0
            return x + 1, None

        def backward(self, dy: Any, cache: Any) -> Any:
            return 0 * dy, {}

    class VandalLoss(Mse):
        def forward(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
            target += 1
            return super().forward(prediction, target, sample_weight)

    net = case(Vandal(), x=X, loss=VandalLoss(), target=normal(4, 3, seed=1))
    trace = net.network.forward(net.point)
    np.testing.assert_array_equal(trace.arrays["input"], X)
    np.testing.assert_array_equal(trace.arrays["target"], normal(4, 3, seed=1))


# Structure ------------------------------------------------------------------------------------------------------------


def test_affected_are_the_layers_behind_in_order() -> None:
    network = way_around()
    assert [node.name for node in network.affected(["a.weight"])] == ["a", "b", "c", "d", "aside"]
    assert [node.name for node in network.affected(["d.bias"])] == ["d"]
    assert [node.name for node in network.affected(["input"])] == ["a", "b", "c", "d", "aside"]
    assert [node.name for node in network.affected(["b"])] == ["c", "d"]
    assert network.affected(["target"]) == ()


def test_owner_and_producer_of_a_name() -> None:
    network = way_around()
    owner, producer = network.owner("d.weight"), network.producer("c")
    assert owner is not None
    assert producer is not None
    assert (owner.name, producer.name) == ("d", "c")
    assert network.owner("input") is None
    assert network.producer("input") is None
    assert network.node("aside").parameters == {"weight": "aside.weight", "bias": "aside.bias"}


def test_several_outputs_are_numbered_and_a_single_one_is_not() -> None:
    inputs = {"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 1, 2, 0])}
    net = case(Gate(), x=inputs)
    (node,) = net.network.nodes
    assert node.outputs == ("gate_1.0", "gate_1.1")
    assert chain().network.nodes[0].outputs == ("linear_1",)
    assert net.point.batched == {"a", "b", "k", "gate_1.noise"}
    assert net.point.parameters == ("gate_1.table",)


# The point ------------------------------------------------------------------------------------------------------------


def a_point() -> Point:
    arrays = {"x": X, "k": np.array([3, 2, 1, 0]), "flag": np.array([True, False, True, True]), "w": normal(3, 2)}
    return Point(arrays, ("x", "k"), ("w",), frozenset({"x", "k", "flag"}))


def test_take_slices_what_has_samples_and_nothing_else() -> None:
    taken = a_point().take([2, 0])
    np.testing.assert_array_equal(taken.arrays["x"], X[[2, 0]])
    np.testing.assert_array_equal(taken.arrays["k"], [1, 3])
    np.testing.assert_array_equal(taken.arrays["w"], a_point().arrays["w"])
    assert (a_point().batch_size, taken.batch_size) == (4, 2)


def test_cast_and_map_leave_integers_and_booleans_alone() -> None:
    point = a_point().cast(np.float32)
    assert [point.arrays[name].dtype for name in ("x", "w", "k", "flag")] == [
        np.float32,
        np.float32,
        np.int64,
        np.bool_,
    ]
    doubled = a_point().map(lambda array: 2 * array)
    np.testing.assert_array_equal(doubled.arrays["k"], a_point().arrays["k"])
    np.testing.assert_array_equal(doubled.arrays["x"], 2 * X)
    assert a_point().differentiable(("x", "k", "flag", "w")) == ("x", "w")


# Building -------------------------------------------------------------------------------------------------------------


def test_each_layer_draws_from_the_seed_and_its_own_name() -> None:
    first, again, other = assembly(), assembly(), assembly(seed=8)
    for built, names in ((first, ("a", "b")), (again, ("z", "b")), (other, ("a", "b"))):
        for name in names:
            built.add(name, Linear(2), ("input",))
    np.testing.assert_array_equal(first.arrays["b.weight"], again.arrays["b.weight"])
    assert not (first.arrays["a.weight"] == first.arrays["b.weight"]).any()
    assert not (first.arrays["a.weight"] == other.arrays["a.weight"]).any()


def test_single_precision_is_rounded_once_and_kept_in_double() -> None:
    single, double_ = assembly("float32"), assembly()
    for built in (single, double_):
        built.add("a", Linear(2), ("input",))
    for name in ("a.weight", "input", "target"):
        assert single.arrays[name].dtype == np.float64
        np.testing.assert_array_equal(single.arrays[name], double_.arrays[name].astype(np.float32))
        assert (single.arrays[name] != double_.arrays[name]).any()


def test_given_weights_replace_those_that_are_drawn() -> None:
    given = normal(3, 2, seed=9)
    built = assembly(**{"a.weight": given})
    built.add("a", Linear(2), ("input",))
    np.testing.assert_array_equal(built.arrays["a.weight"], given)
    with pytest.raises(ShapeError, match=r"has a\.weight with shape \(3, 2\), the given weights have \(2, 3\)"):
        assembly(**{"a.weight": given.T}).add("a", Linear(2), ("input",))


def test_shapes_that_do_not_fit_name_both_layers() -> None:
    built = assembly()
    built.add("a", Linear(5), ("input",))
    with pytest.raises(ShapeError) as refusal:
        built.add("b", Conv2d(2, 3), ("a",))
    assert str(refusal.value).startswith("b (conv2d) needs ")
    assert str(refusal.value).endswith("; a (linear) gives (4, 5)")
    with pytest.raises(ShapeError) as refusal:
        assembly().add("b", Conv2d(2, 3), ("input",))
    assert str(refusal.value).endswith("; the data `input` gives (4, 3)")


def test_target_that_does_not_fit_names_the_layer_in_front() -> None:
    built = assembly()
    built.add("a", Linear(5), ("input",))
    with pytest.raises(ShapeError) as refusal:
        built.add_term(Term(Mse(), "mean", 1.0, ("a",), {"target": "target"}))
    assert str(refusal.value) == (
        "mse needs a target of the prediction's shape (4, 5), got (4, 2); a (linear) gives (4, 5)"
    )


def _raises(x: Any) -> Any:
    raise RuntimeError("no output today")


@pytest.mark.parametrize(
    ("forward", "code", "message"),
    [
        (_raises, "GC901", "plug_1: forward raised RuntimeError: no output today"),
        (lambda x: x[:2], "GC120", "plug_1: forward returned (2, 3); expected an array with the batch of 4 on axis 0"),
        (lambda x: x.T, "GC120", "plug_1: forward returned (3, 4); expected an array with the batch of 4 on axis 0"),
        (lambda x: x.sum(), "GC120", "plug_1: forward returned (); expected an array with the batch of 4 on axis 0"),
        (lambda x: None, "GC120", "plug_1: forward returned NoneType; expected an array with the batch of 4 on axis 0"),
        (
            lambda x: x.astype(object),
            "GC505",
            "plug_1: forward returned an array of object for real inputs; expected real numbers",
        ),
        (
            lambda x: x + 0j,
            "GC505",
            "plug_1: forward returned an array of complex128 for real inputs; expected real numbers",
        ),
        (lambda x: x * np.nan, "GC115", "plug_1: forward returned NaN or Inf for finite inputs"),
        (lambda x: x + np.inf, "GC115", "plug_1: forward returned NaN or Inf for finite inputs"),
    ],
)
def test_plugin_whose_forward_breaks_the_contract_is_a_failure_with_its_name(
    forward: Any, code: str, message: str
) -> None:
    with pytest.raises(LayerFailure) as failure:
        case(plug(forward, lambda x: 1.0), x=X)
    assert (failure.value.code, failure.value.node, failure.value.phase) == (code, "plug_1", "forward")
    assert failure.value.message == message


@pytest.mark.parametrize(
    "drawn", [{"w": 1.5}, {"w": [1.0]}, {"w": np.arange(3)}, {"w": np.array([1.0, np.nan])}, {"w": None}]
)
def test_plugin_whose_parameters_are_no_finite_floats_is_a_failure_with_their_name(drawn: Any) -> None:
    class Odd(Layer):
        def init(self, rng: Any, *x_shapes: Any) -> Any:
            return drawn

        def forward(self, x: Any, w: Any) -> Any:
            return x, None

        def backward(self, dy: Any, cache: Any) -> Any:
            return dy, {"w": 0}

    with pytest.raises(
        LayerFailure, match=r"odd_1: init returned .* for `w`.*; a parameter is an array of finite floats"
    ):
        case(Odd(), x=X)


def test_loss_whose_forward_breaks_the_contract_is_a_failure_of_the_loss() -> None:
    class Total(Mse):
        def forward(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
            losses, cache = super().forward(prediction, target)
            return losses.sum(), cache

    class Vector(Declared):
        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            return prediction - target, None

    class Infinite(Mse):
        def forward(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
            return (prediction - target) * np.inf, None

    wrong: list[tuple[Loss, str, str]] = [
        (Total(), "GC120", "loss: forward returned shape (); expected losses of shape (4, ...)"),
        (Vector(), "GC120", "loss: forward returned shape (4, 2); expected a scalar"),
        (Infinite(), "GC115", "loss: forward returned NaN or Inf for finite inputs"),
    ]
    for loss, code, message in wrong:
        with pytest.raises(LayerFailure) as failure:
            case(Linear(2), x=X, loss=loss, target=TARGET)
        assert (failure.value.code, failure.value.node, failure.value.message) == (code, "loss", message)


# Divisors -------------------------------------------------------------------------------------------------------------


def divisor(loss: Loss, reduction: str, **data: Any) -> float | None:
    term = Term(loss, "sum", 1.0, ("p",), {name: name for name in data})
    return term.divisor(reduction, {"p": normal(4, 2), **data}, (4, 2))


def test_elementwise_loss_divides_by_its_losses_or_its_samples() -> None:
    found = [divisor(L1(), reduction, target=TARGET) for reduction in ("sum", "mean", "batch_mean", "none")]
    assert found == [1, 8, 4, 1]


def test_reducing_loss_divides_by_what_it_declares_or_does_not_say() -> None:
    class Undeclared(Loss):
        reductions = ("sum", "mean")

        def forward(self, prediction: Any, reduction: str) -> Any:
            return prediction.sum(), None

        def backward(self, upstream: Any, cache: Any) -> Any:
            return upstream

    assert divisor(Declared(), "mean", target=TARGET) == 8
    assert divisor(Undeclared(), "sum") == 1
    assert divisor(Undeclared(), "mean") is None


def test_divisor_gets_what_it_asks_for_by_name() -> None:
    class Weighted(Mse):
        def divisor(self, prediction: Any, sample_weight: Any, reduction: str) -> Any:
            return sample_weight.sum() * prediction.shape[1] + (100 if reduction == "batch_mean" else 0)

    weight = np.array([1.0, 2.0, 0.0, 0.5])
    assert divisor(Weighted(), "mean", target=TARGET, sample_weight=weight) == 7
    assert divisor(Weighted(), "batch_mean", target=TARGET, sample_weight=weight) == 107


def test_divisor_that_raises_is_a_failure_of_the_loss() -> None:
    class Raising(Mse):
        def divisor(self, target: Any, reduction: str) -> float:
            raise KeyError(reduction)

    term = Term(Raising(), "mean", 1.0, ("p",), {"target": "t"}, trusted=False)
    with pytest.raises(LayerFailure, match="loss: divisor raised KeyError: 'mean'"):
        term.divisor("mean", {"p": X, "t": X}, (4, 3))


def test_a_node_hands_parameters_and_constants_over_by_their_own_names() -> None:
    node = Node("n", Relu(), ("x",), ("n",), {"weight": "n.weight"}, {"mean": "n.mean"})
    arrays = {"x": X, "n.weight": TARGET, "n.mean": X, "other": X}
    assert node.keywords(arrays) == {"weight": TARGET, "mean": X}
