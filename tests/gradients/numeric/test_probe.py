"""Directions: drawn afresh, the same for the same seed; their estimates and bars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from core_nets import normal, plug
from support import case

from gradcheck.evidence import gather, prepare
from gradcheck.gradients.numeric.probe import LEAST, Draws, along, apart, directions, norm, size
from gradcheck.gradients.numeric.schemes import SCHEMES
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh

X = normal(5, 3)


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
    monkeypatch.setattr("gradcheck.gradients.numeric.probe._BLOCK", 7)
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


def test_directions_of_all_tensors_together_agree_with_backward() -> None:
    net = case(Linear(4), Tanh(), Linear(2), x=X)
    scene = prepare(net)
    found = directions(scene.stage, scene.question, net.point.parameters, scene.analytic.gradients, count=3, seed=1)
    assert len({one.numeric for one in found}) == 3
    for one in found:
        assert abs(one.numeric - one.analytic) <= 1e-14 * one.magnitude


@pytest.mark.parametrize("method", ["complex", "central", "five_point", "richardson", "forward"])
@pytest.mark.parametrize("step", [None, 1e-4])
def test_bars_cover_what_the_slopes_are_off(method: str, step: float | None) -> None:
    net = case(Linear(6), Tanh(), Linear(3), x=normal(8, 4), directions=6, method=method, step=step)
    found = gather(net, "", lambda *_: None)
    for name, estimate in found.estimates.items():
        assert estimate.value.shape == (6,)
        off = np.abs(estimate.value - found.gradient(name))
        assert np.all(off <= estimate.error + 1e-14 * np.abs(estimate.value).max()), (name, off, estimate.error)
        assert np.all(estimate.error < (1e-2 if method == "forward" else 1e-5) * found.usual(name)), name


def test_a_ladder_that_does_not_settle_has_no_value() -> None:
    """A forward of noise alone."""
    rng = np.random.default_rng(0)
    rough = plug(lambda x: x + 1e-2 * rng.standard_normal(x.shape), np.ones_like)
    found = gather(case(rough, x=X, directions=LEAST, method="central"), "", lambda *_: None)
    estimate = found.estimates["input"]
    assert np.all(estimate.error > 1e-6 * found.usual("input"))


def test_some_draws_may_be_asked_for() -> None:
    net = case(Linear(4), Tanh(), x=X, directions=4)
    found = gather(net, "", lambda *_: None)
    some = found.again("linear_1.weight", "complex", 2.0**-130, np.array([1, 3]))
    assert some.checked.tolist() == [False, True, False, True]
    every = found.estimates["linear_1.weight"]
    assert np.allclose(some.value[[1, 3]], every.value[[1, 3]], rtol=1e-13)
    assert found.probe is not None
    only = replace(found.question, others={})
    whole = found.probe.estimate(found.stage, "linear_1.weight", SCHEMES["complex"], only, step=every.step)
    assert whole.value.tobytes() == every.value.tobytes()
