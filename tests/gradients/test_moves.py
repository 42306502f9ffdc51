from __future__ import annotations

import numpy as np
import pytest
from core_nets import normal

from gradcheck.gradients._moves import moved, moved_within


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_number_moves_by_one_or_two_units_in_the_last_place(dtype: str) -> None:
    x = normal(1000).astype(dtype)
    change = np.abs(moved(x, 0) - x)
    assert (change >= 0.99 * np.spacing(np.abs(x)) * (1 - np.finfo(dtype).eps)).all()
    assert (change <= 2 * np.spacing(np.abs(x))).all()
    assert moved(x, 0).dtype == x.dtype


def test_zeros_stay_zero_and_equal_numbers_stay_equal() -> None:
    x = np.array([0.0, -0.0, 0.7, 0.7, -0.7, 3.0, 0.7])
    y = moved(x, 3)
    assert y[0] == y[1] == 0
    assert y[2] == y[3] == y[6] == -y[4]


def test_both_directions_occur_alike() -> None:
    x = normal(4000)
    up = (np.abs(moved(x, 1)) > np.abs(x)).mean()
    assert 0.45 < up < 0.55


def test_another_seed_moves_in_other_directions() -> None:
    x = normal(1000)
    assert 0.4 < (moved(x, 0) == moved(x, 1)).mean() < 0.6
    np.testing.assert_array_equal(moved(x, 2), moved(x, 2))


def test_what_a_forward_has_kept_moves_wherever_it_lies() -> None:
    x, index, other = normal(50), np.arange(3), object()
    kept = {"a": (x, [x.astype("float32"), None]), "b": (index, x > 0, np.float64(0.7), 0.7, other, (4, 5))}
    found = moved_within(kept, 0)
    np.testing.assert_array_equal(found["a"][0], moved(x, 0))
    np.testing.assert_array_equal(found["a"][1][0], moved(x.astype("float32"), 0))
    assert found["a"][1][1] is None
    np.testing.assert_array_equal(found["b"][0], index)
    np.testing.assert_array_equal(found["b"][1], x > 0)
    assert found["b"][2] != 0.7
    assert found["b"][3:] == (0.7, other, (4, 5))


def test_what_was_kept_is_left_as_it_is() -> None:
    index = np.arange(3)
    found = moved_within((index,), 0)
    found[0][:] = 7
    assert index.tolist() == [0, 1, 2]
