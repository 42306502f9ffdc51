"""Forwards that refuse what lies outside their domain: which perturbed copies they refuse, and what the others are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from core_nets import Centred, normal, plug, stage_of
from support import case

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric._domain import Border, outside, split_at_border
from gradcheck.gradients.numeric.entries import Moves
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.sweep import Stage, perturbed_observables
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss

X = np.abs(normal(5, 4)) + 0.1
X[0, 0] = X[3, 0] = X[2, 1] = X[2, 3] = 0
ON_BORDER = [0, 9, 11, 12]
STEP = 1e-3


def refused() -> LayerFailure:
    return LayerFailure("GC901", "plug_1", "forward", "outside")


def guarded(x: Any) -> Any:
    if (x.real < 0).any():
        raise ValueError("needs x >= 0")
    return x * x + x


def plain(x: Any) -> Any:
    return x * x + x


def stage(forward: Callable[[Any], Any], *behind: Layer, x: Any = X, **options: Any) -> Stage:
    built: Stage = stage_of(case(plug(forward, lambda x: 2 * x + 1), *behind, x=x, **options))
    return built


def swept(stage: Stage, step: complex, fused: bool, watch: KinkWatch | None = None) -> Any:
    array = stage.arrays["input"]
    entries = np.arange(array[0].size if fused else array.size)
    moves = Moves("input", entries, array.shape, fused)
    if watch is not None:
        watch.start(len(entries), len(array))
    return perturbed_observables(stage, moves, np.full(len(entries), step), watch)


# Halving --------------------------------------------------------------------------------------------------------------


class Refusing:
    """Evaluates units, and refuses those that are outside; counts how often it is asked."""

    def __init__(self, *outside: int, code: str = "GC901") -> None:
        self.outside, self.code, self.calls = set(outside), code, 0
        self.evaluated: set[int] = set()

    def __call__(self, units: Any, factor: float) -> None:
        self.calls += 1
        if self.outside.intersection(units.tolist()):
            raise LayerFailure(self.code, "plug_1", "forward", "outside")
        self.evaluated.update(units.tolist())


@pytest.mark.parametrize("units", [(), (0,), (63,), (5, 6), (0, 31, 32, 63), tuple(range(64))])
def test_halving_finds_those_outside_and_evaluates_all_others(units: tuple[int, ...]) -> None:
    asked = Refusing(*units)
    assert list(outside(asked, np.arange(64))) == list(units)
    assert asked.evaluated == set(range(64)) - set(units)
    assert asked.calls <= 1 + 2 * 6 * max(len(units), 0.5)


def test_nothing_is_outside_of_nothing() -> None:
    assert list(outside(Refusing(), np.arange(0))) == []


def test_another_breach_of_the_contract_is_no_matter_of_a_domain() -> None:
    with pytest.raises(LayerFailure) as failure:
        list(outside(Refusing(3, code="GC120"), np.arange(8)))
    assert failure.value.code == "GC120"


def test_border_remembers_direction_and_shortest_step() -> None:
    border = Border()
    units, steps = np.array([[4], [5]]), np.array([1.0, 1.0])
    assert not border.is_left("x", units, steps)
    border.remember("x", 4, -0.5)
    border.remember("x", 4, -0.7)
    for step, expected in ((-0.5, True), (-0.8, True), (-0.4, False), (0.9, False), (0.5j, False)):
        found = border.left("x", units, np.full(units.shape, step))
        np.testing.assert_array_equal(found, [[expected], [False]])
        assert border.is_left("x", units, step * steps) == expected
        assert not border.is_left("y", units, step * steps)
    assert not border.left("x", np.array([[3], [700]]), -steps[:, None]).any()


def test_what_does_not_raise_again_is_no_border() -> None:
    with pytest.raises(LayerFailure, match="outside"):
        split_at_border(Border(), "x", np.arange(4)[:, None], np.ones((4, 1)), Refusing(), refused())


# Sweeps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("behind", [(), (Linear(3), Relu())], ids=["alone", "layers behind"])
def test_copies_outside_are_nan_and_all_others_what_they_are_without_a_guard(behind: Any, fused: bool) -> None:
    with_guard, without = stage(guarded, *behind), stage(plain, *behind)
    assert with_guard.sample_by_sample("input")
    for step in (-STEP, STEP, 1j * STEP):
        found, expected = swept(with_guard, step, fused), swept(without, step, fused)
        wrong = np.zeros(found.shape, dtype=bool)
        if step == -STEP:
            samples, features = np.unravel_index(ON_BORDER, X.shape)
            if fused:
                wrong[features, samples] = True
            else:
                wrong[ON_BORDER] = True
        np.testing.assert_array_equal(np.isnan(found), wrong)
        np.testing.assert_array_equal(found[~wrong], expected[~wrong])


def test_parameters_lead_out_of_a_domain_too() -> None:
    own = {"linear_1.weight": np.ones((4, 3)), "linear_1.bias": np.array([0.0, 0.3, 0.0])}
    built = stage_of(case(Linear(3), plug(guarded, plain), x=np.zeros((5, 4)), parameters=own))
    moves = Moves("linear_1.bias", np.arange(3), (3,), fused=False)
    found = np.isnan(perturbed_observables(built, moves, np.full(3, -STEP))).all(axis=1)
    np.testing.assert_array_equal(found, [True, False, True])
    assert np.isfinite(perturbed_observables(built, moves, np.full(3, STEP))).all()


def test_layer_that_couples_is_outside_with_its_whole_batch() -> None:
    with_guard = stage(guarded, Centred(), Linear(2))
    assert not with_guard.sample_by_sample("input")
    found = np.isnan(swept(with_guard, -STEP, fused=False))
    np.testing.assert_array_equal(np.flatnonzero(found.all(axis=1)), ON_BORDER)
    np.testing.assert_array_equal(found.any(axis=1), found.all(axis=1))


@pytest.mark.parametrize("reductions", [(), ("sum", "mean")], ids=["elementwise", "reducing"])
def test_losses_have_domains_too(reductions: tuple[str, ...]) -> None:
    class Sure(Loss):
        def forward(self, prediction: Any, reduction: str = "none") -> Any:
            if (prediction.real > 1).any():
                raise ValueError("needs p <= 1")
            losses = (prediction**3).sum(axis=1)
            return (losses if reduction == "none" else losses.sum()), None

        def backward(self, upstream: Any, cache: Any) -> Any:
            return upstream

    Sure.reductions = reductions
    x = np.minimum(X, 1)
    x[1, 1] = 1
    reduction = "sum" if reductions else "mean"
    built = stage_of(
        case(Tanh(), plug(lambda y: np.arctanh(y) * (1 - 1e-15), plain), x=x, loss=Sure(), reduction=reduction)
    )
    above = np.isnan(swept(built, STEP, fused=False)).any(axis=1)
    np.testing.assert_array_equal(above, (x == 1).ravel())
    assert np.isfinite(swept(built, -STEP, fused=False)).all()


def test_watch_sees_the_kinks_of_those_inside() -> None:
    x = X.copy()
    x[1, 2] = 1e-4
    built, without = stage(guarded, Relu(), x=x), stage(plain, Relu(), x=x)
    for fused in (False, True):
        watches = [KinkWatch(each.network, each.arrays) for each in (built, without)]
        for each, watch in zip((built, without), watches, strict=True):
            swept(each, -STEP, fused, watch)
        inside = watches[1].met.copy()
        if fused:
            inside[[0, 0, 1, 3, 2], [0, 3, 2, 2, 1]] = False
        else:
            inside[[*ON_BORDER, 6]] = False
        np.testing.assert_array_equal(watches[0].met, inside)


class Counted:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return guarded(x)


def test_a_point_on_the_border_is_looked_for_once() -> None:
    counted = Counted()
    built = stage(counted)
    for step, most in ((-STEP, 60), (-2 * STEP, 1), (-STEP / 1000, 1), (STEP, 1)):
        counted.calls = 0
        swept(built, step, fused=True)
        assert counted.calls <= most, step


def test_a_point_near_the_border_is_asked_again_by_shorter_steps() -> None:
    x = X + 0.0
    x[1, 1] = STEP / 10
    built = stage(guarded, x=x)
    for step, outside_too in ((-STEP, True), (-STEP / 2, True), (-STEP / 20, False)):
        found = np.isnan(swept(built, step, fused=False)).any(axis=1)
        assert found[5] == outside_too
        assert found[ON_BORDER].all()
        assert found.sum() == 4 + outside_too


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4, 5])
def test_what_raises_at_the_point_itself_or_not_every_time_is_a_failure(calls: int) -> None:
    class Tired(Counted):
        left = 10**6

        def __call__(self, x: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("tired")
            return plain(x)

    class Moody(Tired):
        def __call__(self, x: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise RuntimeError("not now")
            return plain(x)

    for kind in (Tired, Moody):
        forward = kind()
        built = stage(forward)
        forward.left = calls + (kind is Moody)
        with pytest.raises(LayerFailure, match="plug_1: forward raised RuntimeError"):
            [swept(built, STEP, fused=True) for _ in range(calls + 1)]


# One layer alone ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False])
def test_outputs_of_a_layer_alone_are_nan_outside_of_its_domain(together: bool) -> None:
    copies = Copies({"x": X}, frozenset({"x"}), len(X), 4)
    moved = Moves("x", np.arange(4), X.shape, fused=True).applied(X, np.full(4, -STEP))

    def forward(arrays: Any) -> Any:
        try:
            return (guarded(arrays["x"]),)
        except ValueError as error:
            raise refused() from error

    (found,) = copies.outputs(forward, ("x",), {"x": moved}, together)
    outside_too = np.zeros(found.shape, dtype=bool)
    for k, bad in enumerate(np.any(moved < 0, axis=2)):
        outside_too[k][bad if together else slice(None)] = bad.any()
    np.testing.assert_array_equal(np.isnan(found), outside_too)
    np.testing.assert_array_equal(found[~outside_too], plain(moved)[~outside_too])


def test_a_layer_alone_that_raises_at_its_own_point_fails() -> None:
    copies = Copies({"x": X}, frozenset({"x"}), len(X), 2)

    def forward(arrays: Any) -> Any:
        raise refused()

    with pytest.raises(LayerFailure):
        copies.outputs(forward, ("x",), {"x": np.stack([X, X])}, True)
