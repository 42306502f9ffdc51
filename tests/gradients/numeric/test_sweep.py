"""Every fast way to perturb an entry, against the plain one: change it in a copy of the point, call network.forward."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from core_nets import Add, Centred, Declared, Gate, Normalised, graph, normal, stage_of
from msgspec.structs import replace
from support import case

from gradcheck.assembly import Assembly
from gradcheck.gradients.numeric import sweep
from gradcheck.gradients.numeric.entries import Moves
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP
from gradcheck.gradients.numeric.sweep import CHUNK, Stage, perturbed_observables
from gradcheck.layers._base import Layer
from gradcheck.layers.avg_pool2d import AvgPool2d
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.sigmoid import Sigmoid
from gradcheck.layers.softmax import Softmax
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.network import Network, Point, Term
from gradcheck.pipeline import check_case
from gradcheck.spec.case import Case, GradientPlan

X = normal(4, 3)
REAL, COMPLEX = 1e-3, 1j * COMPLEX_STEP


def _skip() -> Case:
    layers: list[Any] = [
        ("a", Linear(5), ("input",)), ("b", Tanh(), ("a",)), ("c", Linear(5), ("b",)), ("d", Add(), ("c", "a")),
        ("e", Linear(2), ("d",)),
    ]  # fmt: skip
    return graph({"input": X, "target": normal(4, 2)}, layers, [Term(Mse(), "mean", 1.0, ("e",), {"target": "target"})])


def _seen_on_its_way() -> Case:
    layers: list[Any] = [
        ("a", Linear(4), ("input",)), ("b", Tanh(), ("a",)), ("c", Linear(3), ("b",)), ("d", Sigmoid(), ("c",)),
    ]  # fmt: skip
    data = {"input": X, "target": normal(4, 3, seed=2), "wanted": normal(4, 3, seed=3)}
    terms = [Term(Mse(), "mean", 2.0, (of,), {"target": to}) for of, to in (("d", "target"), ("c", "wanted"))]
    return graph(data, layers, terms)


def _two_ways() -> Case:
    layers: list[Any] = [
        ("a", Linear(4), ("input",)), ("b", Tanh(), ("a",)), ("c", Linear(3), ("a",)), ("d", Sigmoid(), ("c",)),
    ]  # fmt: skip
    data = {"input": X, "target": normal(4, 3, seed=2), "wanted": normal(4, 4, seed=3)}
    terms = [Term(Mse(), "mean", 1.0, (of,), {"target": to}) for of, to in (("d", "target"), ("b", "wanted"))]
    return graph(data, layers, terms)


class Greatest(Layer):
    """The input, and where it is greatest."""

    def forward(self, x: Any) -> Any:
        return (x, x.real.argmax(axis=1)), None

    def backward(self, dy: Any, cache: Any) -> Any:
        raise NotImplementedError


class Taken(Layer):
    """Of the first input what stands where the second one says."""

    def forward(self, x: Any, index: Any) -> Any:
        return np.take_along_axis(x, index[:, None], 1), None

    def backward(self, dy: Any, cache: Any) -> Any:
        raise NotImplementedError


def _routed() -> Case:
    layers: list[Any] = [
        ("a", Linear(5), ("input",)), ("b", Greatest(), ("a",)), ("c", Taken(), ("b.0", "b.1")),
    ]  # fmt: skip
    return graph({"input": X, "target": normal(4, 1)}, layers, [Term(Mse(), "mean", 1.0, ("c",), {"target": "target"})])


def _two_terms() -> Case:
    data = {"input": X, "target": normal(4, 2), "other": normal(4, 5, seed=2)}
    terms = [
        Term(Declared(), "mean", 1.0, ("e",), {"target": "target"}),
        Term(L1(), "none", 0.3, ("a",), {"target": "other"}, name="loss_2"),
    ]
    return graph(data, [("a", Linear(5), ("input",)), ("d", Sigmoid(), ("a",)), ("e", Linear(2), ("d",))], terms)


# What a layer inherits is about another forward than its own.


class Twice(Linear):
    """A forward of its own; what Linear says of changes is about another one."""

    def forward(self, x: Any, weight: Any, bias: Any = None) -> Any:
        y, cache = super().forward(x, weight, bias)
        return 2 * y, cache


class TwiceTanh(Tanh):
    def forward(self, x: Any) -> Any:
        y, cache = super().forward(x)
        return y + y[..., ::-1], cache


class TwiceFlat(Flatten):
    def forward(self, x: Any) -> Any:
        y, cache = super().forward(x)
        return y * np.arange(y.shape[1]), cache


class PeakOfAll(MaxPool2d):
    def forward(self, x: Any) -> Any:
        y, cache = super().forward(x)
        return y - y.mean(axis=1, keepdims=True), cache


def _tied(trusted: bool) -> Case:
    """Two linear layers with one weight, and the bias of the first as its input that all samples share."""
    found = case(Linear(3), Tanh(), Linear(3), x=X, loss=Mse(), target=normal(4, 3))
    first, second, third = found.network.nodes
    tied = replace(third, parameters={**third.parameters, "weight": "linear_1.weight"}, trusted=trusted)
    arrays = {name: array for name, array in found.point.arrays.items() if name != "linear_2.weight"}
    names = tuple(name for name in found.point.parameters if name != "linear_2.weight")
    point = replace(found.point, arrays=arrays, parameters=names)
    return replace(found, network=Network((first, second, tied), found.network.terms), point=point)


class AgainstTheMean(Loss):
    """Deviations from the target, less their mean over the batch: an elementwise loss that couples samples."""

    def forward(self, prediction: Any, target: Any) -> Any:
        error = prediction - target
        return (error - error.mean(axis=0)) ** 2, error

    def backward(self, upstream: Any, cache: Any) -> Any:
        return upstream


NETS: dict[str, Callable[[], Case]] = {
    "columns through elementwise and carry": lambda: case(
        Linear(6), Tanh(), Linear(5), Relu(), Linear(2), x=X, loss=Mse(), target=normal(4, 2), reduction="batch_mean"
    ),
    "columns into a layer that mixes them": lambda: case(
        Linear(5), Softmax(), Linear(3), x=X, loss=CrossEntropy(), target=np.array([0, 2, 1, 1])
    ),
    "columns of three axes": lambda: case(
        Linear(3), Tanh(), Linear(2), x=normal(3, 2, 4), loss=Mse(), target=normal(3, 2, 2), reduction="none"
    ),
    "stacked copies of images": lambda: case(
        Conv2d(2, (2, 3)), Relu(), MaxPool2d(2), Flatten(), Linear(2), x=normal(3, 2, 5, 4)
    ),
    "channels into a layer that mixes them": lambda: case(
        Conv2d(4, 2),
        Tanh(),
        AvgPool2d(2),
        Conv2d(2, 2, groups=2),
        MaxPool2d(1),
        Conv2d(2, 1),
        Flatten(),
        Softmax(),
        Linear(2),
        x=normal(3, 2, 6, 6),
    ),
    "forwards with words about others": lambda: case(Linear(4), Twice(4), TwiceTanh(), Linear(2), x=X),
    "the same of images": lambda: case(Conv2d(2, 2), PeakOfAll(2), TwiceFlat(), Linear(2), x=normal(2, 1, 5, 5)),
    "a batch statistic in the middle": lambda: case(Linear(5), Centred(), Tanh(), Linear(2), x=X),
    "a batch statistic at the end": lambda: case(Linear(3), Normalised(), x=X),
    "a loss that couples": lambda: case(Linear(2), x=X, loss=AgainstTheMean(), target=normal(4, 2), reduction="none"),
    "two inputs, two outputs, an index and noise": lambda: case(
        Gate(), x={"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])}
    ),
    "an index on the way": lambda: _routed(),
    "a way around": _skip,
    "an activation that a loss sees on its way": _seen_on_its_way,
    "two ways to two losses": _two_ways,
    "two terms, one of them reducing": _two_terms,
    "a parameter that two layers share": lambda: _tied(trusted=True),
    "no parameters": lambda: case(Tanh(), x=X),
    "no layers": lambda: case(x=X, loss=Mse(), target=normal(4, 3, seed=3)),
    "one sample": lambda: case(Linear(5), Tanh(), Linear(2), x=normal(1, 3)),
}
nets = pytest.mark.parametrize("net", NETS)
#: A long complex step has real parts to carry; a thorough stage reads nothing off slopes.
STEPS = {"real": (REAL, False), "complex": (COMPLEX, False), "long": (1e-3j, False), "thorough": (COMPLEX, True)}
steps = pytest.mark.parametrize(("step", "thorough"), STEPS.values(), ids=STEPS)


def stage_for(net: Case, thorough: bool) -> Stage:
    return dataclasses.replace(stage_of(net), thorough=thorough)


def plain(network: Network, point: Point, name: str, index: tuple[int, ...], step: complex) -> Any:
    """The observables of one copy, by the formulas that define them."""
    moved = point.arrays[name].astype(np.result_type(step))
    moved[index] += step
    trace = network.forward(point.with_arrays({name: moved}))
    columns: list[Any] = []
    for term, losses in zip(network.terms, trace.losses, strict=True):
        if term.elementwise:
            columns += [losses[i].sum() for i in range(len(losses))]
            if term.reduction == "none":
                columns += [(losses[i] * trace.arrays[term.contraction][i]).sum() for i in range(len(losses))]
            continue
        columns += [term.apply(trace.arrays, reduction)[0] for reduction in term.loss.reductions]
        for i in range(point.batch_size):
            names = (*term.predictions, *term.data.values())
            sample = {**trace.arrays, **{name: trace.arrays[name][i : i + 1] for name in names}}
            columns.append(term.apply(sample, "sum")[0])
    return np.array(columns)


@cache
def plainly(net: str, step: complex, name: str) -> Any:
    """The observables of one copy for each entry of this array; a thorough stage is held against the same ones."""
    case = NETS[net]()
    shape = case.point.arrays[name].shape
    return np.array([plain(case.network, case.point, name, index, step) for index in np.ndindex(shape)])


def assert_same(found: Any, expected: Any, step: complex) -> None:
    """The derivative to the last digits: the difference to the unperturbed value, or the imaginary part."""
    if np.iscomplexobj(expected):
        slopes = expected.imag / abs(step)
        np.testing.assert_allclose(found / abs(step), slopes, rtol=0, atol=2e-14 * (np.abs(slopes).max() + 1))
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * (np.abs(expected).max() + 1e-300))


def perturbable(stage: Stage) -> list[str]:
    point = stage.point
    return list(point.differentiable((*point.parameters, *point.inputs)))


@nets
def test_perturbed_copies_are_plain_forward_passes(net: str) -> None:
    whole = stage_of(NETS[net]())
    for (step, thorough), name in product(STEPS.values(), perturbable(whole)):
        stage = dataclasses.replace(whole, thorough=thorough)
        shape = stage.arrays[name].shape
        entries = np.arange(stage.arrays[name].size)
        found = perturbed_observables(stage, Moves(name, entries, shape, fused=False), np.full(len(entries), step))
        assert_same(found, plainly(net, step, name), step)


@nets
def test_a_feature_moved_in_all_samples_at_once_is_each_sample_moved_alone(net: str) -> None:
    whole = stage_of(NETS[net]())
    samples = whole.point.batch_size
    names = [name for name in whole.point.differentiable(whole.point.inputs) if whole.sample_by_sample(name)]
    for (step, thorough), name in product(STEPS.values(), names):
        stage = dataclasses.replace(whole, thorough=thorough)
        shape = stage.arrays[name].shape
        features = np.arange(int(np.prod(shape[1:])))
        found = perturbed_observables(stage, Moves(name, features, shape, fused=True), np.full(len(features), step))
        alone = plainly(net, step, name).reshape(samples, len(features), -1)
        for k in features:
            for i in range(samples):
                own = np.arange(alone.shape[2]) % samples == i
                assert_same(found[k][own], alone[i, k][own], step)


def test_samples_move_at_once_only_where_nothing_couples_them() -> None:
    assert {label for label, net in NETS.items() if stage_of(net()).sample_by_sample("input")} == {
        "columns through elementwise and carry", "columns into a layer that mixes them", "columns of three axes",
        "stacked copies of images", "channels into a layer that mixes them", "forwards with words about others",
        "the same of images", "an index on the way", "a way around", "an activation that a loss sees on its way",
        "two ways to two losses",
        "a parameter that two layers share", "no parameters", "no layers", "one sample",
    }  # fmt: skip
    assert not stage_of(NETS["no parameters"]()).sample_by_sample("linear_1.weight")
    assert stage_of(NETS["two inputs, two outputs, an index and noise"]()).sample_by_sample("b")


@steps
def test_every_copy_has_a_step_of_its_own(step: complex, thorough: bool) -> None:
    stage = stage_for(NETS["columns through elementwise and carry"](), thorough)
    own = step * np.array([1, -2, 0, 0.5])
    found = perturbed_observables(stage, Moves("linear_1.weight", np.array([3, 3, 5, 0]), (3, 6), fused=False), own)
    for k, index in enumerate([(0, 3), (0, 3), (0, 5), (0, 0)]):
        assert_same(found[k], plain(stage.network, stage.point, "linear_1.weight", index, own[k]), step)


def test_nothing_that_is_perturbed_is_left_perturbed() -> None:
    for label, net in NETS.items():
        stage = stage_of(net())
        before = {name: array.copy() for name, array in stage.arrays.items()}
        for name in perturbable(stage):
            moves = Moves(name, np.arange(2), stage.arrays[name].shape, fused=False)
            perturbed_observables(stage, moves, np.full(2, REAL))
        for name, array in before.items():
            np.testing.assert_array_equal(stage.arrays[name], array, err_msg=f"{label}: {name}")


def test_layers_in_front_of_the_perturbation_are_not_evaluated_again() -> None:
    calls: list[int] = []

    class Counted(Tanh):
        def forward(self, x: Any) -> Any:
            calls.append(len(x))
            return super().forward(x)

    stage = stage_of(case(Counted(), Linear(3), Relu(), Linear(2), x=X))
    calls.clear()
    for name in ("linear_1.weight", "linear_2.bias"):
        perturbed_observables(stage, Moves(name, np.arange(2), stage.arrays[name].shape, False), np.full(2, REAL))
    assert not calls


def test_chunks_cover_every_entry_once_and_stay_small() -> None:
    moves = Moves("w", np.arange(10), (2, 5), fused=False)
    parts = list(moves.chunks(4))
    assert [len(part) for part in parts] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([part.entries for part in parts]), np.arange(10))


def test_a_chunk_fits_the_cache_by_what_changes_in_a_copy() -> None:
    stage = stage_of(case(Linear(300), Tanh(), Linear(10), x=normal(8, 100)))
    assert stage.chunk("linear_1.weight") == CHUNK // 80
    assert stage.chunk("linear_2.bias") == CHUNK // 80
    dense = stage_of(case(Linear(300), Softmax(), Linear(10), x=normal(8, 100)))
    assert dense.chunk("linear_1.weight") == CHUNK // 2400


class Slow(Layer):
    """A linear map that says nothing beyond its three methods."""

    def init(self, rng: Any, *x_shapes: Any) -> Any:
        return {"weight": rng.standard_normal((x_shapes[0][-1], 200))}

    def forward(self, x: Any, weight: Any) -> Any:
        return x @ weight, None

    def backward(self, dy: Any, cache: Any) -> Any:
        raise NotImplementedError


@steps
@pytest.mark.parametrize("layers", [(Linear(300), Softmax()), (Slow(), Tanh())], ids=["ours", "theirs"])
def test_copies_stay_in_the_memory_that_is_allowed(layers: Any, step: complex, thorough: bool) -> None:
    stage = dataclasses.replace(stage_for(case(*layers, Linear(2), x=normal(8, 40)), thorough), memory=2e6)
    name = stage.point.parameters[0]
    assert 1 < stage.chunk(name) < CHUNK // 2400
    moves = next(Moves(name, np.arange(8000), stage.arrays[name].shape, fused=False).chunks(stage.chunk(name)))
    perturbed_observables(stage, moves, step)  # what it keeps for the next chunks
    tracemalloc.start()
    perturbed_observables(stage, moves, step)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2e6


def test_a_copy_that_is_too_large_for_the_memory_is_said_to_be() -> None:
    stage = dataclasses.replace(stage_of(case(Linear(300), Softmax(), x=normal(8, 40))), memory=1e5)
    assert stage.copy_size("linear_1.weight") > 1e5
    assert stage.chunk("linear_1.weight") == 1


def test_applied_moves_one_entry_a_copy() -> None:
    array, own = normal(2, 3), np.array([0.5, -1.0])
    copies = Moves("w", np.array([4, 2]), (2, 3), fused=False).applied(array, own)
    expected = np.zeros((2, 2, 3))
    expected[0, 1, 1], expected[1, 0, 2] = own
    np.testing.assert_allclose(copies - array, expected, atol=1e-16)
    fused = Moves("x", np.array([2]), (2, 3), fused=True).applied(array, np.array([1j]))
    np.testing.assert_array_equal(fused.imag, [[[0, 0, 1], [0, 0, 1]]])


@pytest.mark.parametrize("method", ["auto", "central"])
def test_input_that_all_samples_share_is_moved(method: str) -> None:
    class Shifted(Layer):
        def forward(self, x: Any, shift: Any) -> Any:
            return x + shift, None

        def backward(self, dy: Any, cache: Any) -> Any:
            return (dy, dy.sum(axis=0)), {}

    class Deaf(Shifted):
        def backward(self, dy: Any, cache: Any) -> Any:
            return (dy, 0 * dy.sum(axis=0)), {}

    data = {"x": normal(4, 3), "shift": normal(3), "target": normal(4, 3, seed=1)}
    for layer, expected in ((Shifted(), "pass"), (Deaf(), "fail")):
        assembly = Assembly(data, ("x", "shift"), frozenset({"x", "target"}), 7)
        assembly.add("shifted", layer, ("x", "shift"), trusted=False)
        assembly.add_term(Term(Mse(), "mean", 1.0, ("shifted",), {"target": "target"}))
        report = check_case(Case("s.yaml", "s", 7, "float64", *assembly.network(), gradient=GradientPlan(method)))
        assert {row.name: row.verdict for row in report.inputs} == {"x": "pass", "shift": expected}


class Root(Layer):
    """√x, with an infinite slope at 0."""

    elementwise = True

    def forward(self, x: Any) -> Any:
        return np.sqrt(x), x

    def backward(self, dy: Any, cache: Any) -> Any:
        raise NotImplementedError


class Ramp(Layer):
    """max(x, 0) as numpy has it, whose complex step at 0 depends on the side that it goes to."""

    elementwise = True

    def forward(self, x: Any) -> Any:
        return np.maximum(x, 0), x

    def backward(self, dy: Any, cache: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(("layer", "usable"), [(Root(), False), (Ramp(), False), (Tanh(), True)])
def test_slopes_that_do_not_hold_for_every_move_are_not_used(layer: Layer, usable: bool) -> None:
    stage = stage_of(case(layer, x=np.array([[0.0, 1.0], [4.0, 2.0]])))
    (node,) = stage.network.nodes
    found = stage.slopes(replace(node, trusted=False))
    assert (found is not None) == usable


def test_sensitivities_that_do_not_hold_for_every_move_are_not_used() -> None:
    class Distance(Loss):
        def forward(self, prediction: Any, target: Any) -> Any:
            return np.sqrt(((prediction - target) ** 2).sum(axis=1)), None

        def backward(self, upstream: Any, cache: Any) -> Any:
            raise NotImplementedError

    for target, usable in ((X, False), (X + 1, True)):
        stage = stage_of(case(x=X, loss=Distance(), target=target))
        assert (stage.sensitivities("input") is not None) == usable


def test_every_activation_is_rounded_once_more_in_the_way_of_its_layer() -> None:
    """Each copies what stands before it, so that only its own rounding tells it from that."""
    layers: list[Any] = [(name, Relu(), (before,)) for before, name in (("input", "a"), ("a", "b"), ("b", "c"))]
    x = np.abs(normal(6, 4))
    x[0, 0], x[1] = 0, x[2]
    stage = stage_of(graph({"input": x, "target": x}, layers, [Term(Mse(), "sum", 1.0, ("c",), {"target": "target"})]))
    arrays = stage.rounded(1).arrays
    assert np.array_equal(arrays["input"], x)
    ups = {}
    for before, name in (("input", "a"), ("a", "b"), ("b", "c")):
        moved, kept = arrays[name], arrays[before]
        assert np.array_equal(moved != kept, x > 0)
        assert (np.abs(moved - kept) <= 2 * np.finfo(float).eps * kept).all()
        ups[name] = moved > kept
    assert np.array_equal(arrays["c"][1], arrays["c"][2])
    assert not np.array_equal(ups["a"], ups["b"])
    assert not np.array_equal(stage.rounded(2).arrays["a"], arrays["a"])
    assert stage.rounded(1).arrays is arrays


@pytest.mark.parametrize(
    ("net", "known"),
    [
        ("columns through elementwise and carry", True),
        ("an activation that a loss sees on its way", True),
        ("two ways to two losses", True),
        ("no layers", True),
        ("a way around", False),
        ("columns into a layer that mixes them", False),
        ("a batch statistic at the end", False),
        ("a loss that couples", False),
    ],
)
def test_influence_is_known_where_all_that_follows_scales_and_adds(net: str, known: bool) -> None:
    stage = stage_of(NETS[net]())
    name = stage.network.nodes[0].outputs[0] if stage.network.nodes else "input"
    found = stage.influence(name)
    assert (found is not None) == known
    if found is not None:
        assert found.shape == (len(stage.observables.blocks), *stage.arrays[name].shape)


def test_influence_of_a_wide_activation_is_measured_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    net = NETS["columns through elementwise and carry"]()
    whole = {node.name: stage_of(net).influence(node.outputs[0]) for node in net.network.nodes}
    monkeypatch.setattr(sweep, "CHUNK", 11)
    for node in net.network.nodes:
        found, expected = stage_of(net).influence(node.outputs[0]), whole[node.name]
        assert found is not None
        assert expected is not None
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_copies_are_followed_where_they_are_fewer_than_the_outputs_of_their_layer() -> None:
    stage = stage_of(NETS["stacked copies of images"]())
    assert stage.sole_owner("conv2d_1.bias") is None
    assert stage.sole_owner("linear_1.bias") is not None
    assert stage_of(NETS["a parameter that two layers share"]()).sole_owner("linear_1.weight") is None


def test_copies_are_followed_where_they_are_fewer_than_what_any_layer_behind_makes() -> None:
    """A decoder: what each of 40 outputs does to the losses is not asked for the sake of three entries."""
    stage = stage_of(case(Linear(3), Tanh(), Linear(40), x=normal(4, 20), loss=Mse(), target=normal(4, 40)))
    assert stage.sole_owner("linear_1.bias") is None
    assert stage.sole_owner("linear_1.weight") is not None
    assert stage.sole_owner("linear_2.bias") is not None
