from __future__ import annotations

from typing import Any

import laws
import numpy as np
import pytest
from core_nets import graph, row
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check, judged

from gradcheck.layers.add import Add
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

CASES = {
    "two": (laws.normal(3, 4), laws.normal(3, 4, seed=1)),
    "three, of three axes": (laws.normal(2, 3, 2), laws.normal(2, 3, 2, seed=1), laws.normal(2, 3, 2, seed=2)),
    "large": (50 + laws.normal(2, 3), -50 + laws.normal(2, 3, seed=1)),
    "numbers": (laws.normal(3), laws.normal(3, seed=1)),
}


def named(x: Any) -> dict[str, Any]:
    return dict(zip("abcd", x, strict=False))


# Planted mistakes -----------------------------------------------------------------------------------------------------


class SecondSubtracted(Add):
    def backward(self, dy: Any, cache: Any) -> Any:
        return (dy, -dy, *[dy] * (len(cache) - 2)), {}


class SecondForgotten(Add):
    def backward(self, dy: Any, cache: Any) -> Any:
        return (dy, np.zeros_like(dy), *[dy] * (len(cache) - 2)), {}


class Shared(Add):
    def backward(self, dy: Any, cache: Any) -> Any:
        return (dy / len(cache),) * len(cache), {}


class NextSample(Add):
    def backward(self, dy: Any, cache: Any) -> Any:
        return (dy, np.roll(dy, 1, axis=0), *[dy] * (len(cache) - 2)), {}


class OneGradientForTwo(Add):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {}


@pytest.mark.parametrize(
    ("kind", "at"),
    [(SecondSubtracted, "b"), (SecondForgotten, "b"), (Shared, "a"), (NextSample, "b"), (OneGradientForTwo, None)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_mistake_is_named(kind: type[Add], at: str | None) -> None:
    laws.assert_caught(check(kind(), x=named(CASES["two"]), checks=["gradient"], trusted=True), kind(), at)


def residual(add: Add, **options: Any) -> Any:
    """y = x + tanh(x W + b), then a linear layer."""
    layers = [
        ("linear_1", Linear(4), ("input",)),
        ("tanh_1", Tanh(), ("linear_1",)),
        ("sum", add, ("tanh_1", "input")),
        ("head", Linear(2), ("sum",)),
    ]
    data = {"input": laws.normal(3, 4), "target": laws.normal(3, 2)}
    return judged(graph(data, layers, [Term(Mse(), "mean", 1.0, ("head",), {"target": "target"})], **options))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_residual_connection_passes(dtype: str) -> None:
    laws.assert_passes(residual(Add(), dtype=dtype))


def test_shortcut_that_gets_no_gradient_is_named_and_the_branch_is_not_accused() -> None:
    report = residual(SecondForgotten())
    laws.assert_caught(report, "sum", "input")
    assert {finding.layer for finding in report.findings if finding.consequence_of is None} == {"sum"}
    assert row(report, "linear_1.weight").verdict == "pass"


def test_input_used_twice_gets_both_gradients() -> None:
    x, target = laws.normal(3, 4), laws.normal(3, 4, seed=1)
    term = Term(Mse(), "sum", 1.0, ("twice",), {"target": "target"})
    case = graph({"input": x, "target": target}, [("twice", Add(), ("input", "input"))], [term])
    report = judged(case)
    laws.assert_passes(report)
    laws.close(row(report, "input").worst.analytic, 4 * (2 * x - target)[row(report, "input").worst.index], "dx")


@pytest.mark.parametrize("x", CASES.values(), ids=CASES)
def test_passes(x: Any) -> None:
    laws.assert_passes(check(Add(), x=named(x), trusted=True, checks=ALL))
    laws.assert_no_false_alarm(check(Add(), x=named(x), dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for x in CASES.values():
        laws.hold(Add(), *x)


@st.composite
def inputs(draw: st.DrawFn) -> list[Any]:
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    seed = draw(st.integers(0, 99))
    return [laws.normal(*shape, seed=seed + k) for k in range(draw(st.integers(2, 4)))]


@laws.few
@given(inputs())
def test_it_is_linear_in_the_inputs(x: list[Any]) -> None:
    laws.upstream_times_output_is_gradient_times_input(Add(), *x)


def test_integers_are_added_and_have_no_gradient() -> None:
    x, ids = laws.normal(2, 3).astype(np.float32), np.arange(6).reshape(2, 3)
    outcome = laws.run(Add(), x, ids)
    assert outcome.y[0].dtype == np.float32
    assert outcome.dx[1] is None
    laws.close(outcome.y[0], x + ids, "y", rtol=1e-7)
    assert laws.outputs(Add(), ids, ids)[0].dtype == ids.dtype


# References -----------------------------------------------------------------------------------------------------------


def reference(*arrays: Any) -> Any:
    *x, dy = arrays
    y, dx = np.zeros(dy.shape), [np.zeros(each.shape) for each in x]
    for index in np.ndindex(*dy.shape):
        for k, each in enumerate(x):
            y[index] += each[index]
            dx[k][index] += dy[index]
    return y, tuple(dx), {}


@laws.few
@given(inputs())
def test_any_inputs_say_what_loops_say(x: list[Any]) -> None:
    laws.assert_matches_reference(Add(), reference, *x)


# Shapes ---------------------------------------------------------------------------------------------------------------


def test_other_shapes_are_refused_and_never_broadcast() -> None:
    message = "needs inputs of equal shapes, as nothing is broadcast, got (3, 4) and (3, 1)"
    laws.assert_refuses(Add(), (3, 4), (3, 1), message=message)
