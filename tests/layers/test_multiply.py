from __future__ import annotations

import math
from typing import Any

import laws
import numpy as np
import pytest
from core_nets import graph, row
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check, judged

from gradcheck.layers.linear import Linear
from gradcheck.layers.multiply import Multiply
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


class OperandsSwapped(Multiply):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, _ = super().backward(dy, cache)
        return dx[::-1], {}


class SecondDetached(Multiply):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, _ = super().backward(dy, cache)
        return (dx[0], np.zeros_like(dy), *dx[2:]), {}


class WholeProduct(Multiply):
    def backward(self, dy: Any, cache: Any) -> Any:
        x, _ = cache
        return (dy * math.prod(x),) * len(x), {}


class SignFlipped(Multiply):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, _ = super().backward(dy, cache)
        return (dx[0], -dx[1], *dx[2:]), {}


class OnlyTheNextFactor(Multiply):
    def backward(self, dy: Any, cache: Any) -> Any:
        x, _ = cache
        return tuple(dy * x[(k + 1) % len(x)] for k in range(len(x))), {}


@pytest.mark.parametrize(
    ("kind", "at"),
    [(OperandsSwapped, "a"), (SecondDetached, "b"), (WholeProduct, "a"), (SignFlipped, "b"), (OnlyTheNextFactor, "c")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_mistake_is_named(kind: type[Multiply], at: str) -> None:
    x = CASES["three, of three axes"] if kind is OnlyTheNextFactor else CASES["two"]
    laws.assert_caught(check(kind(), x=named(x), checks=["gradient"], trusted=True), kind(), at)


@pytest.mark.parametrize("x", CASES.values(), ids=CASES)
def test_passes(x: Any) -> None:
    laws.assert_passes(check(Multiply(), x=named(x), trusted=True, checks=ALL))
    laws.assert_no_false_alarm(check(Multiply(), x=named(x), dtype="float32", checks=["gradient"], trusted=True))


@pytest.mark.parametrize("method", ["auto", "central"])
def test_square_of_an_input_with_zeros_passes(method: str) -> None:
    x = np.where(np.arange(12).reshape(3, 4) % 2, laws.normal(3, 4), 0)
    term = Term(Mse(), "mean", 1.0, ("square",), {"target": "target"})
    data = {"input": x, "target": laws.normal(3, 4, seed=1)}
    report = judged(graph(data, [("square", Multiply(), ("input", "input"))], [term], method=method))
    laws.assert_passes(report)
    assert row(report, "input").entries == 12


def test_boolean_mask_is_no_row_and_has_no_gradient() -> None:
    x, mask = laws.normal(3, 4).astype(np.float32), laws.normal(3, 4, seed=1) > 0
    report = check(Multiply(), Linear(2), x={"a": x, "mask": mask})
    laws.assert_passes(report)
    assert [each.name for each in report.inputs] == ["a"]
    outcome = laws.run(Multiply(), x, mask)
    assert outcome.y[0].dtype == np.float32
    assert outcome.dx[1] is None


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for x in CASES.values():
        laws.hold(Multiply(), *x)


@st.composite
def inputs(draw: st.DrawFn) -> list[Any]:
    """Two to four factors, some of their entries 0."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    seed = draw(st.integers(0, 99))
    x = [laws.normal(*shape, seed=seed + k) for k in range(draw(st.integers(2, 4)))]
    return [np.where(laws.normal(*shape, seed=seed + 9 + k) > 1, 0, each) for k, each in enumerate(x)]


@laws.few
@given(inputs())
def test_zeros_have_their_gradients(x: list[Any]) -> None:
    laws.backward_is_the_derivative(Multiply(), *x)


# References -----------------------------------------------------------------------------------------------------------


def reference(*arrays: Any) -> Any:
    *x, dy = arrays
    y, dx = np.ones(dy.shape), [np.zeros(each.shape) for each in x]
    for index in np.ndindex(*dy.shape):
        for k, each in enumerate(x):
            y[index] *= each[index]
            dx[k][index] = dy[index]
            for j, other in enumerate(x):
                dx[k][index] *= 1 if j == k else other[index]
    return y, tuple(dx), {}


@laws.few
@given(inputs())
def test_any_inputs_say_what_loops_say(x: list[Any]) -> None:
    laws.assert_matches_reference(Multiply(), reference, *x)


# Shapes ---------------------------------------------------------------------------------------------------------------


def test_other_shapes_are_refused_and_never_broadcast() -> None:
    message = "needs inputs of equal shapes, as nothing is broadcast, got (3, 4) and (3, 1) and (3, 4)"
    laws.assert_refuses(Multiply(), (3, 4), (3, 1), (3, 4), message=message)
