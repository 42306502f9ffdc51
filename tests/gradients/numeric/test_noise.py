from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from core_nets import blamed, errors, graph, normal, plug, row, stage_of, told, wrong
from msgspec.structs import replace
from support import case, check

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.estimate import in_wider_precision
from gradcheck.gradients.numeric.noise import forward_noise, layer_staircase, measured_noise, rounding_noise
from gradcheck.layers._base import Layer
from gradcheck.layers.add import Add
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.pipeline import run_case
from gradcheck.spec.case import GradientPlan

X = normal(5, 3)


class Total(Loss):
    """Σ of the prediction, one loss a sample."""

    def forward(self, prediction: Any) -> Any:
        return prediction.reshape(len(prediction), -1).sum(axis=1), prediction.shape

    def backward(self, upstream: Any, cache: Any) -> Any:
        return np.broadcast_to(upstream[:, None], cache) + 0.0


def scattered(x: Any) -> Any:
    """Numbers in ±1 of variance 1/3 that depend on every bit of x and on nothing else."""
    bits = x.view(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 0x9E3779B97F4A7C15)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return (bits >> np.uint64(11)) / 2.0**52 - 1


class Noisy(Layer):
    """y = x, off by a deterministic noise of standard deviation `size`."""

    size = 1e-9

    def forward(self, x: Any) -> Any:
        return x.real + np.sqrt(3) * self.size * scattered(np.ascontiguousarray(x.real)), None

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {}


def noisy(size: float) -> Layer:
    layer = Noisy()
    layer.size = size
    return layer


@pytest.mark.parametrize("size", [1e-13, 1e-9, 1e-5])
def test_noise_of_known_size_is_measured_within_a_factor_of_four(size: float) -> None:
    x = normal(40, 1)
    found = forward_noise(stage_of(case(noisy(size), x=x, loss=Total())))
    assert found.shape == (40,)
    assert size / 2 < np.sqrt(np.mean(found**2)) < 2 * size
    assert (found > size / 8).all()
    assert (np.sort(found)[2:-2] > size / 4).all()
    assert (np.sort(found)[2:-2] < 4 * size).all()


def test_noise_of_independent_outputs_adds_up_in_squares() -> None:
    found = forward_noise(stage_of(case(noisy(1e-9), x=normal(30, 16), loss=Total())))
    assert 2e-9 < np.sqrt(np.mean(found**2)) < 8e-9


def test_noise_is_at_least_half_a_unit_in_the_last_place_of_the_loss() -> None:
    x = np.full((3, 1), 1e6)
    found = forward_noise(stage_of(case(x=x, loss=Mse(), target=0 * x)))
    assert (found >= 2**-53 * 1e12).all()


def test_noise_of_a_clean_forward_is_a_few_units_in_the_last_place() -> None:
    net = case(Linear(8), Tanh(), Linear(2), x=X, loss=Mse(), target=normal(5, 2))
    losses = net.network.forward(net.point).losses[0].sum(axis=1)
    found = forward_noise(stage_of(net)) / np.abs(losses)
    assert (found > 2.0**-55).all()
    assert (np.median(found) < 20 * 2.0**-53).all()


def test_noise_is_measured_for_every_term_and_column() -> None:
    data = {"input": X, "target": normal(5, 2)}
    terms = [
        Term(Mse(), "none", 1.0, ("a",), {"target": "target"}),
        Term(Total(), "sum", 1e9, ("b",), {}, name="loss_2"),
    ]
    layers: list[Any] = [("a", Linear(2), ("input",)), ("b", noisy(1e-6), ("input",))]
    found = forward_noise(stage_of(graph(data, layers, terms)))
    assert found.shape == (15,)
    assert (found[:10] < 1e-13).all()
    assert (found[10:] > 1e-7).all()


def test_error_bars_grow_with_the_noise_and_nothing_fails_for_it() -> None:
    bars = []
    for size in (1e-11, 1e-8, 1e-5):
        report = check(Linear(4), noisy(size), Linear(2), x=X)
        assert not errors(report), told(report)
        assert row(report, "linear_1.weight").method == "central"
        bars.append(row(report, "linear_1.weight").error_bar)
    for narrow, wide in pairwise(bars):
        assert wide > 5 * narrow


def test_mistake_that_is_greater_than_the_noise_still_fails() -> None:
    report = check(Linear(4), noisy(1e-10), wrong(lambda dx, g: (1.01 * dx, g)), x=X)
    assert blamed(report) == [("wrong_linear_1", None)], told(report)


class Angle(Loss):
    """1 − c of two embeddings, c = a·b / √(A B), A = a·a + ε, which loses its digits where they are parallel."""

    def forward(self, a: Any, b: Any) -> Any:
        A, B = ((x * x).sum(axis=1, keepdims=True) + 1e-12 for x in (a, b))
        c = (a * b).sum(axis=1, keepdims=True) / (np.sqrt(A) * np.sqrt(B))
        return (1 - c)[:, 0], (a, b, A, B, c)

    def backward(self, upstream: Any, cache: Any) -> Any:
        a, b, A, B, c = cache
        root, each = np.sqrt(A) * np.sqrt(B), -upstream[:, None]
        return each * (b / root - c * a / A), each * (a / root - c * b / B)


def _parallel_embeddings() -> Any:
    """x and 2 x: wherever all numbers move together, the cosine of a pair may always be rounded alike."""
    layers: list[Any] = [("a", plug(lambda x: 1.0 * x, lambda x: 1.0), ("input",)), ("b", Add(), ("a", "a"))]
    return graph({"input": 1e-2 * normal(40, 3)}, layers, [Term(Angle(), "sum", 1.0, ("b", "a"), {})])


def test_rounding_that_keeps_pace_with_every_move_of_the_point_is_measured() -> None:
    stage = stage_of(_parallel_embeddings())
    assert (forward_noise(stage) > 2.0**-57).all()


@pytest.mark.parametrize("method", ["auto", "central"])
def test_gradient_that_is_less_than_the_rounding_of_forward_does_not_fail(method: str) -> None:
    report = run_case(replace(_parallel_embeddings(), gradient=GradientPlan(method=method)), "").report
    assert not errors(report), told(report)
    assert all(row.counts.fail == 0 for row in report.rows)


# Staircases -----------------------------------------------------------------------------------------------------------


def _half(x: Any) -> Any:
    return x.astype(np.float16).astype(float)


def _single(x: Any) -> Any:
    return x.astype(np.float32).astype(float)


def _quantised(x: Any, levels: int = 127) -> Any:
    step = np.abs(x).max() / levels
    return np.round(x / step) * step


W = normal(3, 4)
#: Forwards that compute in steps, and about how great their noise is: the step / √12.
STAIRS: dict[str, tuple[Any, float]] = {
    "float16": (lambda x: _half(np.tanh(x)), 1e-4),
    "float16 in front": (lambda x: np.tanh(_half(x) @ W), 1e-4),
    "float16, as it is": (lambda x: np.tanh(x).astype(np.float16), 1e-4),
    "float16 beside float64": (lambda x: x + _half(x), 1e-4),
    "float16 times float64": (lambda x: x * _half(x), 1e-4),
    "float32": (lambda x: _single(np.tanh(x @ W)), 1.5e-8),
    "sums in float32": (lambda x: _single(x) @ _single(W), 5e-8),
    "eight bits of a mantissa": (lambda x: np.ldexp(np.round(np.ldexp(np.frexp(x)[0], 8)), np.frexp(x)[1] - 8), 1e-3),
    "a fixed grid": (lambda x: np.round(64 * x) / 64, 1 / 64 / 3.5),
    "a fine fixed grid": (lambda x: np.round(2.0**15 * x) / 2.0**15, 2.0**-15 / 3.5),
    "as many steps as eight bits have": (_quantised, 2.5 / 127 / 3.5),
    "the same in each sample": (lambda x: np.stack([_quantised(row) for row in x]), 1.5 / 127 / 3.5),
    "the same, and a product": (lambda x: _quantised(x) @ W, 2.5 / 127 / 7),
}
#: Those that do not, however they bend.
SMOOTH: dict[str, Any] = {
    "tanh": np.tanh,
    "steep": lambda x: np.tanh(100 * x),
    "steeper": lambda x: np.exp(20 * x),
    "kinks": lambda x: np.maximum(x, 0) + np.abs(x - 0.5),
    "a gate": lambda x: x * (x > 0.3),
    "a maximum": lambda x: x.max(axis=1, keepdims=True),
    "a scale that is lost": lambda x: x / np.sqrt((x * x).sum(axis=1, keepdims=True)),
    "a batch that is normalised": lambda x: (x - x.mean(axis=0)) / x.std(axis=0),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    "cancellation": lambda x: (1e4 * x + 1e4) - 1e4 - 1e4 * x + x,
    "a constant": lambda x: 0 * x + 3,
    **{f"sin {w:g} x": (lambda x, w=w: np.sin(w * x)) for w in (10, 100, 300, 500, 800, 1e3, 1300, 2e3, 5e3, 1e4, 1e6)},  # type: ignore[misc]
}


def staircase(forward: Any, x: Any) -> Any:
    with np.errstate(all="ignore"):
        return layer_staircase(lambda arrays: forward(arrays["x"]), ["x"], {"x": x})


@pytest.mark.parametrize(("forward", "size"), STAIRS.values(), ids=STAIRS)
def test_steps_are_found_and_their_noise_is_measured(forward: Any, size: float) -> None:
    for seed in range(5):
        x = normal(6, 3, seed=seed)
        found = staircase(forward, x)
        assert found.shape == forward(x).shape
        assert size / 4 < np.median(found) < 4 * size
        assert (found > size / 16).all()


@pytest.mark.parametrize("forward", SMOOTH.values(), ids=SMOOTH)
def test_what_bends_is_not_taken_for_steps(forward: Any) -> None:
    for seed in range(3):
        for shape in ((6, 3), (40, 1), (1, 2)):
            assert not staircase(forward, normal(*shape, seed=seed)).any()


#: Functions that jump at a threshold, and nowhere else.
THRESHOLDS: dict[str, Any] = {
    "a gate": lambda x: x * (np.abs(x) > 0.5),
    "a step": lambda x: np.where(x > 0.5, 1.0, 0.0),
    "the two greatest": lambda x: np.where(x >= np.sort(x, axis=1)[:, -2:-1], x, 0),
}


@pytest.mark.parametrize("forward", THRESHOLDS.values(), ids=THRESHOLDS)
@pytest.mark.parametrize("shape", [(1, 2), (3, 4), (40, 1), (2, 100)])
def test_threshold_is_not_taken_for_steps(forward: Any, shape: tuple[int, ...]) -> None:
    for seed in range(6):
        assert not staircase(forward, normal(*shape, seed=seed)).any()
    near = 0.5 * (1 - 0.01 * np.random.default_rng(0).uniform(size=shape))
    assert not staircase(forward, near).any()


def test_gate_beside_its_threshold_is_decided() -> None:
    gate = plug(THRESHOLDS["a gate"], lambda x: np.abs(x) > 0.5)
    x = normal(3, 4)
    x[1] = 0
    for seed in range(4):
        report = check(Linear(4), gate, Linear(2), x=x, seed=seed, checks=["gradient"])
        assert report.verdict == "pass", told(report)


def test_noise_of_a_black_box_covers_its_steps() -> None:
    found = measured_noise(lambda factor: _half(np.tanh(factor * X)))
    assert (found > 2e-5).all()
    assert (rounding_noise(lambda factor: _half(np.tanh(factor * X))) < 1e-15).all()


@pytest.mark.parametrize("layer", [Tanh(), Linear(3)])
def test_steps_of_a_layer_are_sent_through_the_layers_behind_it(layer: Layer) -> None:
    half = plug(_half, lambda x: 1.0)
    terms = [Term(Total(), "sum", 1.0, ("c",), {})]
    layers: list[Any] = [("a", half, ("input",)), ("b", layer, ("a",)), ("c", plug(lambda x: 100 * x, None), ("b",))]
    net = graph({"input": X}, layers, terms)
    found = forward_noise(stage_of(net))
    weight = net.point.arrays.get("b.weight", np.eye(3))
    slope = 100 * weight.sum(axis=1) * (1 if isinstance(layer, Linear) else 1 - np.tanh(X) ** 2)
    steps = 2.0 ** (np.floor(np.log2(np.abs(X))) - 10)
    expected = np.sqrt(((slope * steps / np.sqrt(12)) ** 2).sum(axis=1))
    assert (found > expected / 4).all()
    assert (found < 8 * expected).all()


def test_steps_of_a_loss_are_noise_of_its_own_columns() -> None:
    class HalfMse(Mse):
        def forward(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
            return _half(super().forward(prediction, target)[0]), None

    data = {"input": X, "target": normal(5, 3, seed=4)}
    names = {"target": "target"}
    terms = [Term(Mse(), "none", 1.0, ("a",), names, trusted=False), Term(HalfMse(), "mean", 1.0, ("a",), names, False)]
    found = forward_noise(stage_of(graph(data, [("a", Linear(3), ("input",))], [terms[0], terms[1]])))
    assert (found[:10] < 1e-14).all()
    assert (found[10:] > 1e-5).all()


def test_layers_of_our_own_are_not_asked_for_steps() -> None:
    calls: list[int] = []

    class Counting(Tanh):
        def forward(self, x: Any) -> Any:
            calls.append(len(x))
            return super().forward(x)

    for trusted, most in ((True, 40), (False, 80)):
        stage = stage_of(case(Counting(), x=X, loss=Total(), trusted=trusted))
        calls.clear()
        forward_noise(stage)
        assert len(calls) <= most


# Domains --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", [1.0, -1.0])
@pytest.mark.parametrize("steps", [True, False])
def test_noise_is_measured_on_the_side_that_lies_in_the_domain(steps: bool, border: float) -> None:
    x = np.array([[border, 0.3 * border], [0.5 * border, border]])

    def along(factor: float) -> Any:
        moved = factor * x
        if (np.abs(moved) > 1).any():
            raise LayerFailure("GC901", "plug_1", "forward", "outside")
        return _half(moved) if steps else moved + 1e-9 * scattered(moved)

    assert (measured_noise(along) > (2e-5 if steps else 1e-11)).all()


def test_noise_of_outputs_that_leave_their_domain_on_both_sides_is_that_of_rounding() -> None:
    def along(factor: float) -> Any:
        return np.where(factor == 1, X, np.nan)

    np.testing.assert_allclose(measured_noise(along), 2.0**-53 * np.abs(X))


def test_forward_that_raises_at_the_point_has_no_noise() -> None:
    left = [3]

    def along(factor: float) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise LayerFailure("GC901", "plug_1", "forward", "tired")
        return factor * X

    with pytest.raises(LayerFailure, match="tired"):
        measured_noise(along)


# Long double ----------------------------------------------------------------------------------------------------------


class Narrow(Layer):
    """tanh, computed in float64 whatever comes in, and answered in the precision of that."""

    def forward(self, x: Any) -> Any:
        return np.tanh(x.astype(np.float64)).astype(x.dtype), x

    def backward(self, dy: Any, x: Any) -> Any:
        return dy / np.cosh(x) ** 2, {}


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="long double is no wider than float64 here"
)
@pytest.mark.parametrize(("layer", "narrow"), [(Tanh(), False), (Narrow(), True)])
def test_noise_in_long_double_is_that_of_what_computes_in_it(layer: Layer, narrow: bool) -> None:
    stage = stage_of(case(Linear(4), layer, Linear(2), x=X, loss=Mse(), target=normal(5, 2)))
    wide = in_wider_precision(stage)
    assert wide is not None
    ratio = forward_noise(wide) / forward_noise(stage)
    assert np.median(ratio) > 0.1 if narrow else (ratio < 2.0**-8).all()
