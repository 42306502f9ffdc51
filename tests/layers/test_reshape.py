from __future__ import annotations

import math
from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers.reshape import Reshape

LAYERS = {
    "an image of a row": (Reshape((2, 3)), laws.normal(2, 6)),
    "what is left": (Reshape((3, -1, 1)), laws.normal(2, 2, 3, 2)),
    "all in one": (Reshape((-1,)), laws.normal(2, 2, 3)),
    "one number more than an axis": (Reshape((1, 1)), laws.normal(3)),
    "a number for each sample": (Reshape(()), laws.normal(3, 1)),
    "nothing left": (Reshape((2, 3, -1)), laws.normal(2, 3, 2)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class ColumnsFirst(Reshape):
    def backward(self, dy: Any, cache: Any) -> Any:
        return np.stack([each.reshape(cache[1:], order="F") for each in dy]), {}


class SamplesMixed(Reshape):
    def backward(self, dy: Any, cache: Any) -> Any:
        return np.moveaxis(dy, 0, -1).reshape(cache), {}


class Negated(Reshape):
    def backward(self, dy: Any, cache: Any) -> Any:
        return -dy.reshape(cache), {}


class LastDropped(Reshape):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx = dy.reshape(cache).copy()
        dx[..., -1] = 0
        return dx, {}


class NotUndone(Reshape):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (ColumnsFirst, "input"),
        (SamplesMixed, "input"),
        (Negated, "input"),
        (LastDropped, "input"),
        (NotUndone, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_mistake_is_named(kind: type[Reshape], named: str | None) -> None:
    layer = kind((3, 4))
    laws.assert_caught(check(layer, x=laws.normal(3, 2, 6), checks=["gradient"], trusted=True), layer, named)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Reshape, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[Reshape, Any]:
    """The same axes in another order, two of them perhaps as one, one of them perhaps -1."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    shape = draw(st.permutations(sizes))
    if draw(st.booleans()) and len(shape) > 1:
        shape = [shape[0] * shape[1], *shape[2:]]
    if draw(st.booleans()):
        place = draw(st.integers(0, len(shape) - 1))
        shape = [*shape[:place], -1, *shape[place + 1 :]]
    x = laws.normal(draw(st.integers(1, 3)), *sizes, seed=draw(st.integers(0, 99)))
    return Reshape(tuple(shape)), x


@laws.few
@given(reshapes())
def test_values_and_gradients_keep_their_order(drawn: tuple[Reshape, Any]) -> None:
    layer, x = drawn
    layer.check(x.shape)
    outcome = laws.run(layer, x)
    np.testing.assert_array_equal(outcome.y[0].ravel(), x.ravel())
    np.testing.assert_array_equal(outcome.dx[0].ravel(), outcome.dy[0].ravel())


# References -----------------------------------------------------------------------------------------------------------


def reference(x: Any, dy: Any) -> Any:
    """Counts the numbers of x, and finds the place with that number in y, digit by digit."""
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for count, index in enumerate(np.ndindex(*x.shape)):
        place, left = [], count
        for axis in range(dy.ndim):
            behind = math.prod(dy.shape[axis + 1 :])
            place.append(left // behind)
            left %= behind
        y[tuple(place)] = x[index]
        dx[index] = dy[tuple(place)]
    return y, dx, {}


@laws.few
@given(reshapes())
def test_any_options_say_what_loops_say(drawn: tuple[Reshape, Any]) -> None:
    laws.assert_matches_reference(drawn[0], reference, drawn[1])


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (Reshape((2, 2)), (3, 6), "needs a shape for the 6 numbers of each sample (6,), got [2, 2]"),
        (Reshape((4, -1)), (3, 2, 3), "needs a shape for the 6 numbers of each sample (2, 3), got [4, -1]"),
        (Reshape((2,)), (3,), "needs a shape for the 1 number of each sample (), got [2]"),
        (Reshape((-1, -1)), (3, 6), "needs a shape of sizes from 1 on, of which one may be -1, got [-1, -1]"),
        (Reshape((0, -1)), (3, 6), "needs a shape of sizes from 1 on, of which one may be -1, got [0, -1]"),
    ],
)
def test_shape_is_refused(layer: Reshape, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_shape_is_accepted(layer: Reshape, x: Any) -> None:
    layer.check(x.shape)


def test_options_of_a_spec() -> None:
    assert msgspec.convert({"shape": [2, -1]}, Reshape) == Reshape((2, -1))
    with pytest.raises(msgspec.ValidationError, match="shape"):
        msgspec.convert({"shape": [-2]}, Reshape)
