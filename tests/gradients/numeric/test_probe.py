"""Estimates along directions, and whether their bars cover what they are off."""

from __future__ import annotations

import numpy as np
import pytest
from core_nets import normal, plug
from msgspec.structs import replace
from support import case

from gradcheck._scene import prepare
from gradcheck.evidence import gather
from gradcheck.gradients.numeric.probe import LEAST, directions
from gradcheck.gradients.numeric.schemes import SCHEMES
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh

X = normal(5, 3)


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
