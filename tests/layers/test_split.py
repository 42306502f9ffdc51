from __future__ import annotations

from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from core_nets import graph, row
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check, judged

from gradcheck.layers.linear import Linear
from gradcheck.layers.multiply import Multiply
from gradcheck.layers.sigmoid import Sigmoid
from gradcheck.layers.split import Split
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

LAYERS = {
    "halves": (Split(2), laws.normal(3, 4)),
    "a remainder": (Split(2), laws.normal(2, 5)),
    "a list": (Split((1, 3, 2)), laws.normal(2, 6)),
    "last axis": (Split((2, 1), dim=-1), laws.normal(2, 2, 3)),
    "middle axis": (Split(1, dim=2), laws.normal(2, 2, 2, 2)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class PartsSwapped(Split):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(dy[::-1], cache)


class SecondForgotten(Split):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward((dy[0], np.zeros_like(dy[1]), *dy[2:]), cache)


class SecondNegated(Split):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward((dy[0], -dy[1], *dy[2:]), cache)


class LaidInTurn(Split):
    def backward(self, dy: Any, cache: Any) -> Any:
        return np.stack(dy, axis=-1).reshape(len(dy[0]), -1), {}


class FirstPartOnly(Split):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy[0], {}


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        (PartsSwapped, "input"),
        (SecondForgotten, "input"),
        (SecondNegated, "input"),
        (LaidInTurn, "input"),
        (FirstPartOnly, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_mistake_is_named(kind: type[Split], at: str | None) -> None:
    laws.assert_caught(check(kind(2), x=laws.normal(3, 4), checks=["gradient"], trusted=True), kind(2), at)


def gated(split: Split, **options: Any) -> Any:
    """A gated linear unit: one half of x W + b times the sigmoid of the other."""
    layers = [
        ("linear_1", Linear(6), ("input",)),
        ("parts", split, ("linear_1",)),
        ("gate", Sigmoid(), ("parts.1",)),
        ("product", Multiply(), ("parts.0", "gate")),
    ]
    data = {"input": laws.normal(3, 4), "target": laws.normal(3, 3)}
    return judged(graph(data, layers, [Term(Mse(), "mean", 1.0, ("product",), {"target": "target"})], **options))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_parts_that_go_different_ways_pass(dtype: str) -> None:
    laws.assert_passes(gated(Split(3), dtype=dtype))


def test_mistake_behind_a_linear_layer_is_not_blamed_on_it() -> None:
    report = gated(PartsSwapped(3))
    laws.assert_caught(report, "parts")
    assert {finding.layer for finding in report.findings if finding.consequence_of is None} == {"parts"}


def test_part_that_nobody_takes_has_no_gradient() -> None:
    term = Term(Mse(), "sum", 1.0, ("parts.0",), {"target": "target"})
    data = {"input": laws.normal(3, 4), "target": laws.normal(3, 2)}
    report = judged(graph(data, [("parts", Split(2), ("input",))], [term]))
    laws.assert_passes(report)
    assert row(report, "input").untested == 6


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Split, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


@st.composite
def splits(draw: st.DrawFn) -> tuple[Split, Any]:
    shape = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    axis = draw(st.integers(1, len(shape) - 1))
    sections: Any = tuple(draw(st.lists(st.integers(1, 3), min_size=2, max_size=4)))
    shape[axis] = sum(sections)
    if draw(st.booleans()):
        sections = draw(st.integers(1, shape[axis] - 1))
    layer = Split(sections, draw(st.sampled_from([axis, axis - len(shape)])))
    return layer, laws.normal(*shape, seed=draw(st.integers(0, 99)))


@laws.few
@given(splits())
def test_parts_put_together_are_the_input(drawn: tuple[Split, Any]) -> None:
    layer, x = drawn
    layer.check(x.shape)
    outcome = laws.run(layer, x)
    assert len(outcome.y) > 1
    np.testing.assert_array_equal(np.concatenate(outcome.y, axis=layer.dim), x)


# References -----------------------------------------------------------------------------------------------------------


def reference(layer: Split, shape: tuple[int, ...]) -> Any:
    """Part by part, place by place, until nothing is left."""
    axis, sizes = layer.dim % len(shape), layer.split_size_or_sections
    if isinstance(sizes, int):
        size, sizes = sizes, []
        while sum(sizes) < shape[axis]:
            sizes.append(min(size, shape[axis] - sum(sizes)))

    def loops(x: Any, *dy: Any) -> Any:
        y, dx, start = [], np.zeros(x.shape), 0
        for k, size in enumerate(sizes):
            y.append(np.zeros(dy[k].shape))
            for index in np.ndindex(*dy[k].shape):
                source = (*index[:axis], start + index[axis], *index[axis:][1:])
                y[k][index] = x[source]
                dx[source] = dy[k][index]
            start += size
        return tuple(y), dx, {}

    return loops


@laws.few
@given(splits())
def test_any_options_say_what_loops_say(drawn: tuple[Split, Any]) -> None:
    layer, x = drawn
    laws.assert_matches_reference(layer, reference(layer, x.shape), x)


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (Split(2, dim=0), (4, 4), "needs one of the axes 1, -1 for an input (4, 4), got axis 0"),
        (Split(2), (4,), "needs an input with an axis behind the batch axis, got (4,)"),
        (Split(4), (3, 4), "needs parts smaller than the 4 places of axis 1, got size 4"),
        (Split((1, 2), -1), (3, 2, 4), "needs parts of 4 places in all, those of axis -1, got 1 + 2"),
    ],
)
def test_shape_is_refused(layer: Split, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


def test_options_of_a_spec() -> None:
    assert msgspec.convert({"split_size_or_sections": 3}, Split) == Split(3, 1)
    assert msgspec.convert({"split_size_or_sections": [1, 2], "dim": -1}, Split) == Split((1, 2), -1)


@pytest.mark.parametrize("option", [0, [2, 0], [3], 1.5], ids=str)
def test_option_is_refused(option: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="split_size_or_sections"):
        msgspec.convert({"split_size_or_sections": option}, Split)
