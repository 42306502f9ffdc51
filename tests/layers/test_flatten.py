from __future__ import annotations

from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers.flatten import Flatten

LAYERS = {
    "images": (Flatten(), laws.normal(2, 3, 2, 2)),
    "flat already": (Flatten(), laws.normal(2, 3)),
    "last axes": (Flatten(start_dim=2), laws.normal(2, 3, 2, 2)),
    "middle axes": (Flatten(start_dim=-4, end_dim=-3), laws.normal(2, 1, 3, 2, 2)),
    "one axis": (Flatten(1, 1), laws.normal(2, 3, 2)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class ColumnsFirst(Flatten):
    def backward(self, dy: Any, cache: Any) -> Any:
        return np.stack([each.reshape(cache[1:], order="F") for each in dy]), {}


class SamplesMixed(Flatten):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy.T.reshape(cache), {}


class LastFeatureDropped(Flatten):
    def backward(self, dy: Any, cache: Any) -> Any:
        return np.where(np.arange(dy.shape[1]) < dy.shape[1] - 1, dy, 0).reshape(cache), {}


class AveragedOverBatch(Flatten):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy.reshape(cache) / len(dy), {}


class NotFolded(Flatten):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (ColumnsFirst, "input"),
        (SamplesMixed, "input"),
        (LastFeatureDropped, "input"),
        (AveragedOverBatch, "input"),
        (NotFolded, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_mistake_is_named(kind: type[Flatten], named: str | None) -> None:
    laws.assert_caught(check(kind(), x=laws.normal(3, 2, 2, 3), checks=["gradient"], trusted=True), kind(), named)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Flatten, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


@laws.few
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(0, 99))
def test_values_and_gradients_move_and_do_not_change(sizes: list[int], seed: int) -> None:
    layer, x = Flatten(), laws.normal(2, *sizes, seed=seed)
    laws.upstream_times_output_is_gradient_times_input(layer, x)
    outcome = laws.run(layer, x)
    assert outcome.y[0].shape == (2, np.prod(sizes))
    np.testing.assert_array_equal(np.sort(outcome.dx[0], axis=None), np.sort(outcome.dy[0], axis=None))


# References -----------------------------------------------------------------------------------------------------------


def reference(start: int, end: int) -> Any:
    """Place of x[index] in the output: the axes from start to end, read as the digits of one number."""

    def loops(x: Any, dy: Any) -> Any:
        y, dx = np.zeros(dy.shape), np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            place = 0
            for axis in range(start, end + 1):
                place = place * x.shape[axis] + index[axis]
            target = (*index[:start], place, *index[end + 1 :])
            y[target] = x[index]
            dx[index] = dy[target]
        return y, dx, {}

    return loops


@pytest.mark.parametrize(
    ("case", "start", "end"),
    [("images", 1, 3), ("flat already", 1, 1), ("last axes", 2, 3), ("middle axes", 1, 2), ("one axis", 1, 1)],
)
def test_says_what_loops_say(case: str, start: int, end: int) -> None:
    layer, x = LAYERS[case]
    laws.assert_matches_reference(layer, reference(start, end), x)


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (Flatten(), (4,), "needs an input with an axis behind the batch, got (4,)"),
        (
            Flatten(start_dim=0),
            (4, 2, 3),
            "needs axes start_dim ≤ end_dim from 1 to 2 for (4, 2, 3) (0 is the batch), got 0 and -1",
        ),
        (
            Flatten(start_dim=-3),
            (4, 2, 3),
            "needs axes start_dim ≤ end_dim from 1 to 2 for (4, 2, 3) (0 is the batch), got -3 and -1",
        ),
        (
            Flatten(2, 1),
            (4, 2, 3),
            "needs axes start_dim ≤ end_dim from 1 to 2 for (4, 2, 3) (0 is the batch), got 2 and 1",
        ),
        (
            Flatten(1, 3),
            (4, 2, 3),
            "needs axes start_dim ≤ end_dim from 1 to 2 for (4, 2, 3) (0 is the batch), got 1 and 3",
        ),
        (
            Flatten(1, -5),
            (4, 2, 3),
            "needs axes start_dim ≤ end_dim from 1 to 2 for (4, 2, 3) (0 is the batch), got 1 and -5",
        ),
    ],
)
def test_shape_is_refused(layer: Flatten, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_shape_is_accepted(layer: Flatten, x: Any) -> None:
    layer.check(x.shape)


def test_options_of_a_spec() -> None:
    assert msgspec.convert({}, Flatten) == Flatten()
    assert msgspec.convert({"start_dim": 2, "end_dim": -2}, Flatten) == Flatten(2, -2)
