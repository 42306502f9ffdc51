from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Array, blamed, errors, normal, told
from support import check

from gradcheck.gradients.numeric._ties import untied
from gradcheck.layers._base import Layer

ONLY = {"checks": ("gradient",)}


class Sort(Layer):
    """Each sample sorted; backward sends every gradient back to where its number came from."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def order(self, x: Array) -> Array:
        """Which numbers come out, in which order."""
        return np.argsort(x, axis=1, kind="stable")

    def forward(self, x: Array) -> Any:
        order = self.order(x)
        return np.take_along_axis(x, order, 1), (order, x)

    def backward(self, dy: Array, cache: Any) -> Any:
        order, x = cache
        dx = np.zeros(x.shape, dtype=dy.dtype)
        np.put_along_axis(dx, order, self.factor * dy, 1)
        return dx, {}


class TopTwo(Sort):
    """The two greatest."""

    def order(self, x: Array) -> Array:
        return np.argsort(-x, axis=1, kind="stable")[:, :2]


class Median(Sort):
    """The middle one of five."""

    def order(self, x: Array) -> Array:
        return np.argsort(x, axis=1, kind="stable")[:, 2:3]


class RealMedian(Median):
    """The same, whose complex step is lost."""

    def forward(self, x: Array) -> Any:
        return super().forward(x.real)


class EachGetsAll(Median):
    """A median whose backward gives all of the gradient to each of the numbers that are tied."""

    def backward(self, dy: Array, cache: Any) -> Any:
        order, x = cache
        return np.where(x == np.take_along_axis(x, order, 1), dy, 0), {}


class Unsorted(Sort):
    """A sort whose backward forgets that it sorted."""

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy, {}


def tied() -> Array:
    x = normal(3, 5)
    x[0, 1:4] = x[0, 1]
    x[1] = 0.7
    return x


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layer", [Sort, TopTwo, Median, RealMedian])
def test_numbers_that_are_tied_may_come_out_in_any_order(layer: type[Layer], dtype: str) -> None:
    for seed in range(2):
        report = check(layer(), x=tied(), dtype=dtype, seed=seed, **ONLY)
        assert not errors(report), told(report)
        assert not report.counts.fail, told(report)
        assert report.counts.kink, told(report)


@pytest.mark.parametrize("x", [tied(), np.full((3, 5), 0.7)], ids=["some", "all"])
@pytest.mark.parametrize("layer", [EachGetsAll(), Sort(1.5), TopTwo(1.5), Median(1.5), Median(-1.0), RealMedian(1.5)])
def test_what_no_order_gives_is_wrong(layer: Layer, x: Array) -> None:
    report = check(layer, x=x, **ONLY)
    assert blamed(report), told(report)


def test_wrong_away_from_ties_is_not_excused_by_them() -> None:
    report = check(Unsorted(), x=tied(), **ONLY)
    assert {layer for layer, _ in blamed(report)} == {"unsorted_1"}, told(report)


@pytest.mark.parametrize("per_sample", [True, False])
def test_each_of_equal_numbers_has_every_rank(per_sample: bool) -> None:
    x = np.array([[1.0, 0.5, 1.0, 1.0], [1.0, 2.0, 2.0, 1.0]])
    moves = list(untied(x, per_sample))
    assert {move.shape for move in moves} == {(2, 4)}
    for group in ((0, [0, 2, 3]), (1, [1, 2]), (1, [0, 3])):
        ranks = {tuple(np.argsort(np.argsort(move[group]))) for move in moves}
        for k in range(len(group[1])):
            assert {rank[k] for rank in ranks} == set(range(len(group[1])))
