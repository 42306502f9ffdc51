from __future__ import annotations

from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers.concat import Concat
from gradcheck.layers.linear import Linear

CASES = {
    "features": (Concat(), (laws.normal(3, 4), laws.normal(3, 2))),
    "three, last axis": (Concat(-1), (laws.normal(2, 3, 1), laws.normal(2, 3, 2), laws.normal(2, 3, 4))),
    "middle axis": (Concat(dim=2), (laws.normal(2, 2, 3, 2), laws.normal(2, 2, 1, 2))),
    "equal shapes": (Concat(), (laws.normal(2, 3), laws.normal(2, 3, seed=1))),
}


def named(x: Any) -> dict[str, Any]:
    return dict(zip("abcd", x, strict=False))


# Planted mistakes -----------------------------------------------------------------------------------------------------


class PartsSwapped(Concat):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, _ = super().backward(dy, cache)
        return dx[::-1], {}


class CutOnePlaceLate(Concat):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(np.roll(dy, -1, axis=self.dim), cache)


class SecondForgotten(Concat):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, _ = super().backward(dy, cache)
        return (dx[0], 0 * dx[1], *dx[2:]), {}


class SignFlipped(Concat):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, _ = super().backward(dy, cache)
        return (-dx[0], *dx[1:]), {}


class PartsTransposed(Concat):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, _ = super().backward(dy, cache)
        return tuple(each.swapaxes(-1, -2) for each in dx), {}


@pytest.mark.parametrize(
    ("wrong", "x", "at"),
    [
        (PartsSwapped(), CASES["equal shapes"][1], "a"),
        (CutOnePlaceLate(), CASES["features"][1], "b"),
        (SecondForgotten(), CASES["features"][1], "b"),
        (SignFlipped(-1), CASES["three, last axis"][1], "a"),
        (PartsTransposed(), (laws.normal(2, 1, 4), laws.normal(2, 3, 4)), None),
        (PartsSwapped(), CASES["features"][1], None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Concat) else "",
)
def test_planted_mistake_is_named(wrong: Concat, x: Any, at: str | None) -> None:
    laws.assert_caught(check(wrong, x=named(x), checks=["gradient"], trusted=True), wrong, at)


@pytest.mark.parametrize(("layer", "x"), CASES.values(), ids=CASES)
def test_passes(layer: Concat, x: Any) -> None:
    laws.assert_passes(check(layer, x=named(x), trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(CASES.values()))
    laws.assert_no_false_alarm(check(layer, x=named(x), dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in CASES.values():
        laws.hold(layer, *x)


@st.composite
def concatenations(draw: st.DrawFn) -> tuple[Concat, list[Any]]:
    shape = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    axis = draw(st.integers(1, len(shape) - 1))
    sizes = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    shapes = [[*shape[:axis], size, *shape[axis + 1 :]] for size in sizes]
    x = [laws.normal(*each, seed=draw(st.integers(0, 99)) + k) for k, each in enumerate(shapes)]
    return Concat(draw(st.sampled_from([axis, axis - len(shape)]))), x


@laws.few
@given(concatenations())
def test_values_and_gradients_move_and_do_not_change(drawn: tuple[Concat, list[Any]]) -> None:
    layer, x = drawn
    outcome = laws.run(layer, *x)
    values, gradients = (np.concatenate([each.ravel() for each in arrays]) for arrays in (x, outcome.dx))
    np.testing.assert_array_equal(np.sort(outcome.y[0], axis=None), np.sort(values))
    np.testing.assert_array_equal(np.sort(outcome.dy[0], axis=None), np.sort(gradients))


def test_integers_stand_beside_real_numbers_and_have_no_gradient() -> None:
    x, ids = laws.normal(2, 3).astype(np.float32), np.arange(4).reshape(2, 2)
    outcome = laws.run(Concat(), x, ids)
    assert outcome.y[0].dtype == np.float32
    assert outcome.dx[1] is None
    np.testing.assert_array_equal(outcome.y[0][:, 3:], ids)
    laws.assert_passes(check(Concat(), Linear(2), x={"a": x, "ids": ids}))


# References -----------------------------------------------------------------------------------------------------------


def reference(axis: int) -> Any:
    """Place `index[axis]` of the output is read from the input in which it lies."""

    def loops(*arrays: Any) -> Any:
        *x, dy = arrays
        y, dx = np.zeros(dy.shape), [np.zeros(each.shape) for each in x]
        for index in np.ndindex(*dy.shape):
            place, k = index[axis], 0
            while place >= x[k].shape[axis]:
                place, k = place - x[k].shape[axis], k + 1
            source = (*index[:axis], place, *index[axis:][1:])
            y[index] = x[k][source]
            dx[k][source] = dy[index]
        return y, tuple(dx), {}

    return loops


@laws.few
@given(concatenations())
def test_any_options_say_what_loops_say(drawn: tuple[Concat, list[Any]]) -> None:
    layer, x = drawn
    laws.assert_matches_reference(layer, reference(layer.dim % x[0].ndim), *x)


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Concat(0), [(3, 4), (3, 4)], "needs one of the axes 1, -1 for an input (3, 4), got axis 0"),
        (Concat(-2), [(3, 4), (3, 4)], "needs one of the axes 1, -1 for an input (3, 4), got axis -2"),
        (Concat(2), [(3, 4), (3, 4)], "needs one of the axes 1, -1 for an input (3, 4), got axis 2"),
        (Concat(), [(3, 4), (3,)], "needs an input with an axis behind the batch axis, got (3,)"),
        (
            Concat(-1),
            [(3, 4, 2), (3, 5, 2)],
            "needs inputs that are equal in every axis but 2, got (3, 4, 2) and (3, 5, 2)",
        ),
        (Concat(), [(3, 4), (3, 4, 1)], "needs inputs that are equal in every axis but 1, got (3, 4) and (3, 4, 1)"),
    ],
)
def test_shapes_are_refused(layer: Concat, shapes: list[tuple[int, ...]], message: str) -> None:
    laws.assert_refuses(layer, *shapes, message=message)


def test_options_of_a_spec() -> None:
    assert msgspec.convert({}, Concat) == Concat(1)
    assert msgspec.convert({"dim": -1}, Concat) == Concat(-1)
