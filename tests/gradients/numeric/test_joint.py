from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.gradients.numeric.joint import adds_up, directions
from gradcheck.gradients.numeric.local import Local

A = np.array([[0.5, 2.0], [0.5, 1.0]])
TIED = A == 0.5


def maximum(arrays: Any) -> Any:
    a, b = arrays["a"], arrays["b"]
    return (np.where(a.real >= b.real, a, b),)


def holds(first: float, second: float, dy: Any, coupled: bool = False, slack: float = 0.0) -> bool:
    """max(a, b), tied in the first feature of both samples, with the shares that each gets there."""
    local = Local(
        maximum, lambda arrays: None, ("a", "b"), {"a": A, "b": A - ~TIED}, (dy,), frozenset("ab"), coupled, True, False
    )
    analytic = {"a": np.where(TIED, first * dy, dy), "b": np.where(TIED, second * dy, 0)}
    give = {name: np.full(A.shape, slack) for name in analytic}
    return all(adds_up(local, way, analytic, give) for way in directions(local.arrays, {"a": TIED, "b": TIED}))


@pytest.mark.parametrize("coupled", [False, True])
def test_shares_must_add_up_to_the_whole_within_the_slack(coupled: bool) -> None:
    dy = np.array([[2.0, 1.0], [3.0, 1.0]])
    for shares in ((1, 0), (0, 1), (0.3, 0.7)):
        assert holds(*shares, dy, coupled)
    for shares in ((1, 1), (0, 0), (0.3, 0.7 + 1e-5)):
        assert not holds(*shares, dy, coupled)
    assert holds(0.3, 0.7 + 1e-5, dy, coupled, slack=1e-4)


def test_samples_that_are_kept_apart_do_not_hide_each_other() -> None:
    assert not holds(1, 1, np.array([[1.0, 0.0], [-1.0, 0.0]]))


def test_equal_values_move_alike_in_all_operands() -> None:
    arrays = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([[2.0], [1.0]])}
    moving = {"a": np.array([True, True, False]), "b": np.array([[True], [True]])}
    found = list(directions(arrays, moving))
    assert {abs(way["a"][2]) for way in found} == {0.0}
    for way in found:
        np.testing.assert_array_equal(way["a"][[1, 0]], way["b"][:, 0])
    assert {way["a"][0] * way["a"][1] for way in found} == {-1.0, 1.0}
