from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Centred, Gate, double, errors, graph, normal, pair_max, plug, relu_with, told, wrong
from support import case

from gradcheck.alone import Alone
from gradcheck.evidence import gather
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.pipeline import check_case
from gradcheck.spec.case import Case

X, TARGET = normal(4, 3), normal(4, 2)


def alone(net: Case) -> Alone:
    with np.errstate(all="ignore"):
        found = gather(net, "", lambda done, total, name: None)
    return Alone(found.stage, found.analytic, found.unsafe)


def guilty(net: Case) -> set[tuple[str, str]]:
    """Every layer and operand that does not pass alone."""
    judge = alone(net)
    parts = (*net.network.nodes, *net.network.terms)
    return {(part.name, name) for part in parts for name in judge.operands(part) if not judge.judge(part, name).passes}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("trusted", [True, False])
def test_every_layer_of_a_correct_network_passes_alone(dtype: str, trusted: bool) -> None:
    nets = [
        case(Linear(3), Tanh(), Linear(2), x=X, loss=Mse(), target=TARGET, dtype=dtype, trusted=trusted),
        case(Linear(3), Relu(), Centred(), x=X, dtype=dtype, trusted=trusted),
        case(Gate(), x={"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])}, dtype=dtype, trusted=trusted),
        case(Linear(2), x=X, loss=L1(), target=TARGET, reduction="none", dtype=dtype, trusted=trusted),
    ]
    for net in nets:
        assert guilty(net) == set()


def test_guilt_does_not_spread_to_the_layers_in_front() -> None:
    net = case(Linear(3), Tanh(), wrong(lambda dx, g: (2 * dx, g)), Tanh(), Linear(2), x=X)
    assert guilty(net) == {("wrong_linear_1", "tanh_1")}


def test_each_wrong_operand_of_each_wrong_layer_is_guilty_by_itself() -> None:
    def both(dx: Any, g: Any) -> Any:
        return -dx, {**g, "bias": 3 * g["bias"]}

    net = case(wrong(both), Tanh(), double(lambda dy: (dy, {})), Linear(2), x=X)
    assert guilty(net) == {
        ("wrong_linear_1", "input"),
        ("wrong_linear_1", "wrong_linear_1.bias"),
        ("double_1", "tanh_1"),
    }


def test_mistake_in_the_loss_is_the_losss() -> None:
    class Halved(Mse):
        def backward(self, upstream: Any, cache: Any) -> Any:
            return super().backward(upstream, cache) / 2

    assert guilty(case(Linear(3), Tanh(), Linear(2), x=X, loss=Halved(), target=TARGET)) == {("loss", "linear_2")}


def test_weight_and_reduction_of_a_term_belong_to_its_upstream_gradient() -> None:
    data = {"input": X, "target": TARGET}
    terms = [
        Term(Mse(), "batch_mean", -0.25, ("a",), {"target": "target"}),
        Term(L1(), "none", 1e3, ("a",), {"target": "target"}, name="loss_2"),
    ]
    assert guilty(graph(data, [("a", Linear(2), ("input",))], terms)) == set()


def test_inputs_that_are_used_twice_are_judged_by_what_one_layer_adds() -> None:
    layers: list[Any] = [
        ("a", Linear(2), ("input",)), ("b", wrong(lambda dx, g: (1.1 * dx, g), 2), ("input",)),
        ("c", Add(), ("a", "b")), ("d", Add(), ("c", "c")),
    ]  # fmt: skip
    net = graph({"input": X, "target": TARGET}, layers, [Term(Mse(), "mean", 1.0, ("d",), {"target": "target"})])
    assert guilty(net) == {("b", "input")}


def test_operands_are_what_backward_gives_a_gradient_for() -> None:
    net = case(Gate(), x={"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])})
    judge = alone(net)
    assert judge.operands(net.network.nodes[0]) == ("a", "b", "gate_1.table")
    assert judge.operands(net.network.terms[0]) == ("gate_1.0", "gate_1.1")


def test_inputs_pass_looks_at_inputs_and_not_at_parameters() -> None:
    net = case(wrong(lambda dx, g: (dx, {**g, "bias": -g["bias"]})), wrong(lambda dx, g: (-dx, g)), x=X)
    judge = alone(net)
    first, second = net.network.nodes
    assert judge.inputs_pass(first)
    assert not judge.inputs_pass(second)


def test_layer_that_receives_nothing_usable_is_not_judged() -> None:
    net = case(wrong(lambda dx, g: (-dx, g)), Tanh(), double(lambda dy: (dy * np.nan, {})), x=X)
    assert guilty(net) == {("double_1", "tanh_1")}


def test_every_layer_is_judged_once() -> None:
    judge = alone(case(Linear(3), Tanh(), x=X))
    node = judge.stage.network.nodes[0]
    assert judge.judge(node, "input") is judge.judge(node, "input")


@pytest.mark.parametrize("black_box", [True, False])
def test_at_a_kink_a_layer_is_right_on_either_side_and_between(black_box: bool) -> None:
    x = X.copy()
    x[:, 1] = 0
    for slope, expected in ((0.0, set()), (0.5, set()), (1.0, set()), (1.1, {"input"}), (-0.1, {"input"})):
        found = guilty(case(relu_with(slope, black_box), Linear(2), x=x))
        assert {operand for _, operand in found} == expected, slope


def tied(last: Any) -> Case:
    """In float32, with targets that are the predictions up to rounding."""
    layers = (Linear(3), Tanh(), last)
    target = (net := case(*layers, x=X, dtype="float32")).network.forward(net.point).arrays[net.network.nodes[-1].name]
    return case(*layers, x=X, loss=L1(), target=target, dtype="float32")


def test_layer_is_judged_on_the_piece_that_its_own_backward_was_on() -> None:
    net = tied(Linear(2))
    (term,) = net.network.terms
    traces = [net.network.forward(point).arrays for point in (net.point.cast("float32"), net.point)]
    rounded, exact = (term.branches([arrays["linear_2"]], arrays) for arrays in traces)
    assert (rounded != exact).any(), "float32 and float64 put a unit on different pieces"
    assert guilty(net) == set()


def test_what_rounding_does_to_the_layers_behind_hides_nothing() -> None:
    assert guilty(tied(wrong(lambda dx, g: (1.001 * dx, g), 2))) == {("wrong_linear_1", "tanh_1")}
    own = tied(wrong(lambda dx, g: (dx, {**g, "weight": 1.001 * g["weight"]}), 2))
    assert guilty(own) == {("wrong_linear_1", "wrong_linear_1.weight")}


@pytest.mark.parametrize("black_box", [True, False])
def test_at_a_tie_the_shares_must_add_up(black_box: bool) -> None:
    x = normal(3, 4)
    x[0, :2] = 0.5
    net = case(pair_max((1, 1), black_box), Linear(2), x=x)
    judged = alone(net).judge(net.network.nodes[0], "input")
    assert judged.right.all(), "each share alone may be the whole"
    assert not judged.together
    assert not judged.passes


def test_two_ties_whose_upstream_gradients_cancel_do_not_hide_each_other() -> None:
    x = normal(3, 4)
    x[0] = [0.5, 0.5, 0.3, 0.3]
    own = {"linear_1.weight": np.array([[1.0], [-1.0]]), "linear_1.bias": np.array([0.3])}
    for shares, passes in (((1, 1), False), ((0, 0), False), ((1, 0), True), ((0.3, 0.7), True)):
        net = case(pair_max(shares), Linear(1), x=x, parameters=own)
        assert alone(net).judge(net.network.nodes[0], "input").passes is passes, shares


def test_single_wrong_entry_is_the_only_one_that_is_not_right() -> None:
    def one(dx: Any, g: Any) -> Any:
        g["weight"][1, 2] *= 1 + 1e-9
        return dx, g

    net = case(wrong(one), Tanh(), x=X)
    judged = alone(net).judge(net.network.nodes[0], "wrong_linear_1.weight")
    np.testing.assert_array_equal(np.argwhere(~judged.right), [[1, 2]])


# Ties between operands, parameters and samples ------------------------------------------------------------------------

#: What each of two that are tied gets of the upstream gradient, and whether that is a derivative.
SHARES = {"all": ((1, 1), False), "none": ((0, 0), False), "shared": ((0.3, 0.7), True), "first": ((1, 0), True)}


class MaxOfTwo(Layer):
    """max(a, b) of two inputs."""

    shares: tuple[float, float]

    def forward(self, a: Any, b: Any) -> Any:
        return np.where(a.real >= b.real, a, b), (a, b)

    def backward(self, dy: Any, cache: Any) -> Any:
        a, b = cache
        return tuple(dy * np.where(a == b, s, w) for s, w in zip(self.shares, (a > b, b > a), strict=True)), {}


class MaxOfParameters(Layer):
    """x (1 + max(v, w)) with two parameters that are drawn alike."""

    shares: tuple[float, float]

    def init(self, rng: np.random.Generator, *x_shapes: tuple[int, ...]) -> Any:
        return {"v": np.zeros(()), "w": np.zeros(())}

    def forward(self, x: Any, v: Any, w: Any) -> Any:
        greatest = v if v.real >= w.real else w
        return x * (1 + greatest), (x, greatest)

    def backward(self, dy: Any, cache: Any) -> Any:
        x, greatest = cache
        own = np.sum(dy * x)
        return dy * (1 + greatest), {"v": np.asarray(self.shares[0] * own), "w": np.asarray(self.shares[1] * own)}


class MaxOfSamples(Layer):
    """x² - the maximum over the batch, of which the first two samples share a tie."""

    shares: tuple[float, float]

    def forward(self, x: Any) -> Any:
        return x * x - x[x.real.argmax(axis=0), np.arange(x.shape[1])], x

    def backward(self, dy: Any, x: Any) -> Any:
        greatest = (x == x.max(axis=0)).astype(float)
        greatest[:2, greatest.sum(axis=0) == 2] = np.reshape(self.shares, (2, 1))
        return 2 * x * dy - greatest * dy.sum(axis=0), {}


class GreatestError(Loss):
    """Σ over samples of max_j (p_j - t_j), in the reducing form."""

    reductions = ("sum",)
    shares: tuple[float, float]

    def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
        error = prediction - target
        return error[np.arange(len(error)), error.real.argmax(axis=1)].sum(), error

    def backward(self, upstream: Any, error: Any) -> Any:
        greatest = (error == error.max(axis=1, keepdims=True)).astype(float)
        greatest[greatest.sum(axis=1) == 2, :2] = self.shares
        return upstream * greatest


def tied_case(kind: str, shares: tuple[float, float], method: str) -> Case:
    made: Any = {"inputs": MaxOfTwo, "parameters": MaxOfParameters, "samples": MaxOfSamples, "loss": GreatestError}[
        kind
    ]()
    made.shares = shares
    options: dict[str, Any] = {"method": method, "checks": ("gradient",)}
    x = normal(3, 4)
    if kind == "inputs":
        other = normal(3, 4, seed=1)
        other[0] = x[0]
        return case(made, x={"a": x, "b": other}, **options)
    if kind == "samples":
        x[:2, 1] = 3
    if kind == "loss":
        x[0, :2] = 9
        target = np.zeros((3, 4))
        return case(plug(lambda x: x, lambda x: 1.0), x=x, loss=made, target=target, reduction="sum", **options)
    return case(made, x=x, **options)


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("kind", ["inputs", "parameters", "samples", "loss"])
@pytest.mark.parametrize("share", list(SHARES))
def test_whatever_is_tied_is_handed_out_once(kind: str, share: str, method: str) -> None:
    shares, right = SHARES[share]
    report = check_case(tied_case(kind, shares, method))
    code = "GC100" if kind == "parameters" else "GC114"
    assert {found.code for found in errors(report)} == (set() if right else {code}), told(report)
    expected = {"shared": {"kink"}, "first": {"kink", "pass"}}
    assert report.verdict in expected.get(share, {"fail"}), told(report)


def test_operand_that_is_right_is_not_blamed_for_one_that_is_wrong_at_the_same_tie() -> None:
    assert guilty(tied_case("inputs", (1.5, 0.0), "auto")) == {("max_of_two_1", "a")}


def test_one_wrong_entry_at_a_kink_leaves_the_others_their_excuse() -> None:
    class Bent(Layer):
        """|x|, whose backward says 3 in one entry."""

        def forward(self, x: Any) -> Any:
            return np.abs(x), x

        def backward(self, dy: Any, x: Any) -> Any:
            slope = np.sign(x)
            slope[0, 0] = 3
            return dy * slope, {}

    x = normal(3, 2)
    x[0] = 0
    net = case(Bent(), x=x)
    judged = alone(net).judge(net.network.nodes[0], "input")
    np.testing.assert_array_equal(np.argwhere(~judged.right), [[0, 0]])
    assert judged.together


def test_kinks_that_outweigh_each_other_in_a_direction_are_no_mistake() -> None:
    class Difference(Layer):
        """|x₀| - |x₁ - 1|, with the slope on the right of each kink: no sum of them is 0, as that of the forward is."""

        def forward(self, x: Any) -> Any:
            bent = x - np.array([0.0, 1.0])
            return np.abs(bent) @ np.array([[1.0], [-1.0]]), bent

        def backward(self, dy: Any, bent: Any) -> Any:
            return dy * np.array([1.0, -1.0]) * np.where(bent >= 0, 1, -1), {}

    x = normal(3, 2)
    x[0] = [0, 1]
    assert guilty(case(Difference(), x=x)) == set()
