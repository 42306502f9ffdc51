"""Halving: which entries are wrong, in how few evaluations, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, log2
from typing import Any

import numpy as np
import pytest

from gradcheck.gradients.numeric import bisection

Array = Any


class Counting:
    """d(S) of errors that are known, and how often it was asked for."""

    def __init__(self, errors: Array) -> None:
        self.errors = errors
        self.asked = 0

    @property
    def whole(self) -> float:
        return float(self.errors.sum())

    def __call__(self, masks: Sequence[Callable[[Array], Array]]) -> list[float]:
        self.asked += len(masks)
        return [float(mask(self.errors).sum()) for mask in masks]


def errors(shape: tuple[int, ...], *wrong: tuple[int, ...] | int, size: float = 1.0) -> Counting:
    found = np.zeros(shape)
    for k, index in enumerate(wrong):
        found[index] = size * (1 + k / 7) * (-1) ** k
    return Counting(found)


@pytest.mark.parametrize("size", [1, 2, 3, 17, 1000, 2**20])
def test_one_wrong_entry_costs_the_logarithm(size: int) -> None:
    measure = errors((size,), size // 3)
    found = bisection.entries(measure, size, measure.whole, 1e-9)
    assert (found.wrong, found.dense) == ((size // 3,), False)
    assert found.evaluations == measure.asked <= ceil(log2(size)) if size > 1 else measure.asked == 0


def test_five_of_a_million_are_named_in_a_hundred_evaluations() -> None:
    rng = np.random.default_rng(0)
    wrong = sorted(rng.choice(10**6, 5, replace=False).tolist())
    measure = errors((10**6,), *wrong)
    found = bisection.entries(measure, 10**6, measure.whole, 1e-9)
    assert list(found.wrong) == wrong
    assert measure.asked == found.evaluations <= 100


def test_no_search_exceeds_its_budget() -> None:
    rng = np.random.default_rng(1)
    measure = errors((10**6,), *rng.choice(10**6, bisection.MOST, replace=False).tolist())
    found = bisection.entries(measure, 10**6, measure.whole, 1e-9)
    assert len(found.wrong) == bisection.MOST
    assert measure.asked <= bisection.BUDGET


def test_a_dense_mistake_stops_it_early_and_leaves_one_entry_to_show() -> None:
    measure = Counting(np.linspace(1, 2, 10**4))
    found = bisection.entries(measure, 10**4, measure.whole, 1e-9)
    assert found.dense
    assert found.evaluations < 2 * bisection.MOST
    entry, more = bisection.one_of(measure, found)
    assert 0 <= entry < 10**4
    assert more <= 14


def test_small_dense_tensors_are_named_whole() -> None:
    measure = Counting(np.arange(1.0, 11.0))
    found = bisection.entries(measure, 10, measure.whole, 1e-9)
    assert (found.wrong, found.dense) == (tuple(range(10)), False)


def test_more_than_can_be_named_is_dense_even_at_single_entries() -> None:
    measure = Counting(np.arange(1.0, bisection.MOST + 4))
    found = bisection.entries(measure, measure.errors.size, measure.whole, 1e-9)
    assert found.dense
    assert bisection.one_of(measure, found)[0] in range(measure.errors.size)


@pytest.mark.parametrize(("axis", "wrong"), [(0, (3,)), (0, (3, 7)), (1, (0, 5))])
def test_wrong_slices_are_found_axis_by_axis(axis: int, wrong: tuple[int, ...]) -> None:
    found = np.zeros((40, 30))
    np.moveaxis(found, axis, 0)[list(wrong)] = np.random.default_rng(2).standard_normal(
        (len(wrong), found.shape[1 - axis])
    )
    measure = Counting(found)
    assert bisection.slices(measure, found.shape, axis, measure.whole, 1e-9).wrong == wrong
    assert bisection.slices(measure, found.shape, 1 - axis, measure.whole, 1e-9).dense


def test_of_a_part_that_is_wrong_one_half_is_followed_whatever_the_bar() -> None:
    measure = Counting(np.full(8, 0.3))
    found = bisection.entries(measure, 8, measure.whole, 2.0)
    assert len(found.wrong) == 1
