from __future__ import annotations

from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers.transpose import Transpose

LAYERS = {
    "rows and columns": (Transpose(1, 2), laws.normal(2, 3, 4)),
    "from the end": (Transpose(-1, -2), laws.normal(2, 2, 3, 1)),
    "not neighbours": (Transpose(3, 1), laws.normal(2, 2, 3, 2)),
    "the same axis": (Transpose(1, 1), laws.normal(2, 3)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class ReadInTheOldOrder(Transpose):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy.reshape(super().backward(dy, cache)[0].shape), {}


class NotTransposed(Transpose):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {}


class Negated(Transpose):
    def backward(self, dy: Any, cache: Any) -> Any:
        return -super().backward(dy, cache)[0], {}


class Mirrored(Transpose):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(dy, cache)[0][..., ::-1], {}


class SamplesReversed(Transpose):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(dy, cache)[0][::-1], {}


@pytest.mark.parametrize(
    ("kind", "sizes", "named"),
    [
        (ReadInTheOldOrder, (3, 4), "input"),
        (NotTransposed, (3, 4), None),
        (NotTransposed, (3, 3), "input"),
        (Negated, (3, 4), "input"),
        (Mirrored, (3, 4), "input"),
        (SamplesReversed, (3, 4), "input"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_mistake_is_named(kind: type[Transpose], sizes: tuple[int, int], named: str | None) -> None:
    layer = kind(1, 2)
    laws.assert_caught(check(layer, x=laws.normal(2, *sizes), checks=["gradient"], trusted=True), layer, named)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Transpose, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


@st.composite
def transposes(draw: st.DrawFn) -> tuple[Transpose, Any]:
    shape = draw(st.lists(st.integers(1, 3), min_size=2, max_size=5))
    axes = st.integers(1, len(shape) - 1) | st.integers(1 - len(shape), -1)
    return Transpose(draw(axes), draw(axes)), laws.normal(*shape, seed=draw(st.integers(0, 99)))


@laws.few
@given(transposes())
def test_twice_is_the_input(drawn: tuple[Transpose, Any]) -> None:
    layer, x = drawn
    np.testing.assert_array_equal(laws.outputs(layer, laws.outputs(layer, x)[0])[0], x)


# References -----------------------------------------------------------------------------------------------------------


def reference(layer: Transpose) -> Any:
    def loops(x: Any, dy: Any) -> Any:
        y, dx = np.zeros(dy.shape), np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            place = list(index)
            place[layer.dim0], place[layer.dim1] = index[layer.dim1], index[layer.dim0]
            y[tuple(place)] = x[index]
            dx[index] = dy[tuple(place)]
        return y, dx, {}

    return loops


@laws.few
@given(transposes())
def test_any_options_say_what_loops_say(drawn: tuple[Transpose, Any]) -> None:
    layer, x = drawn
    laws.assert_matches_reference(layer, reference(layer), x)


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (Transpose(0, 1), (2, 3, 4), "needs one of the axes 1, 2, -2, -1 for an input (2, 3, 4), got axis 0"),
        (Transpose(1, -3), (2, 3, 4), "needs one of the axes 1, 2, -2, -1 for an input (2, 3, 4), got axis -3"),
        (Transpose(1, 3), (2, 3, 4), "needs one of the axes 1, 2, -2, -1 for an input (2, 3, 4), got axis 3"),
        (Transpose(1, 1), (2,), "needs an input with an axis behind the batch axis, got (2,)"),
    ],
)
def test_shape_is_refused(layer: Transpose, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


def test_options_of_a_spec() -> None:
    assert msgspec.convert({"dim0": 1, "dim1": -1}, Transpose) == Transpose(1, -1)
    with pytest.raises(msgspec.ValidationError, match="dim1"):
        msgspec.convert({"dim0": 1}, Transpose)
