"""Directions are drawn afresh, and are the same for the same seed; sums along them are the sums."""

from __future__ import annotations

import numpy as np
import pytest
from core_nets import normal

from gradcheck.gradients.numeric.draws import Draws, along, apart, norm, size


def test_signs_are_one_and_minus_one_and_depend_on_seed_name_and_draw_alone() -> None:
    found = Draws(2, 7).ray("a.weight", (40, 50), 1).signs
    assert found.dtype == np.int8
    assert set(np.unique(found).tolist()) == {-1, 1}
    assert abs(int(found.sum())) < 200
    assert np.array_equal(found, Draws(9, 7).ray("a.weight", (40, 50), 1).signs)
    for other in (Draws(2, 8).ray("a.weight", (40, 50), 1), Draws(2, 7).ray("b", (40, 50), 1),
                  Draws(2, 7).ray("a.weight", (40, 50), 0)):  # fmt: skip
        assert abs(int(np.sum(found * other.signs))) < 200


def test_a_number_and_nothing_have_directions_too() -> None:
    assert abs(int(Draws(1, 0).ray("x", (), 0).signs)) == 1
    assert Draws(1, 0).ray("x", (0, 3), 0).signs.shape == (0, 3)


def test_sums_in_blocks_are_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck.gradients.numeric.draws._BLOCK", 7)
    g, v = normal(4, 9), Draws(1, 0).ray("g", (4, 9), 0).signs
    assert along(g, v) == pytest.approx(np.sum(g * v), rel=1e-14)
    assert size(g) == pytest.approx(np.abs(g).sum(), rel=1e-14)
    assert norm(g) == pytest.approx(np.linalg.norm(g), rel=1e-14)
    assert apart(g, 0 * g) == pytest.approx(np.linalg.norm(g), rel=1e-14)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norms_neither_overflow_nor_vanish(scale: float) -> None:
    g = normal(6, 5)
    assert norm(scale * g) == pytest.approx(scale * np.linalg.norm(g), rel=1e-12)
    assert apart(scale * g, np.zeros_like(g)) == pytest.approx(scale * np.linalg.norm(g), rel=1e-12)
    assert np.isinf(norm(np.array([1.0, np.inf])))


def test_tensors_that_move_together_have_the_signs_of_one_draw() -> None:
    found, flat = Draws(1, 3).joint({"a": (3, 5), "b": (), "c": (7,)}, 0)
    assert {name: signs.shape for name, signs in found.moves.items()} == {"a": (3, 5), "b": (), "c": (7,)}
    assert all(np.all(np.abs(signs) == 1) for signs in found.moves.values())
    assert np.array_equal(flat, np.concatenate([signs.reshape(-1) for signs in found.moves.values()]))
