from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from core_nets import normal

from gradcheck.gradients.numeric import local as local_module
from gradcheck.gradients.numeric.local import Interval, Local, vjp

X, DY = normal(3, 4), normal(3, 4, seed=1)


def local(forward: Callable[[Any], Any], x: Any = X, dy: Any = DY, branches: Any = None, **options: Any) -> Local:
    """A layer of one input `x` cut out of its network, by default a black box that is safe under a complex step."""
    defaults = {"samples": frozenset({"x"}), "coupled": False, "complex_safe": True, "smooth": False}
    return Local(
        forward=lambda arrays: (forward(arrays["x"]),),
        branches=lambda arrays: None if branches is None else branches(arrays["x"]),
        names=("x",), arrays={"x": x}, upstream=(dy,), **{**defaults, **options},
    )  # fmt: skip


def bent(x: Any) -> Any:
    """Slope -1 below zero and 3 above."""
    return np.where(x.real > 0, 3 * x, -x)


def assert_interval(found: Interval, low: Any, high: Any, within: float = 1e-6) -> None:
    np.testing.assert_allclose(found.low, low, atol=within)
    np.testing.assert_allclose(found.high, high, atol=within)
    assert (found.bar >= 0).all()
    assert (found.bar <= within).all()


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize(("complex_safe", "smooth"), [(True, True), (True, False), (False, False)])
def test_smooth_layer_has_one_value_the_product_of_upstream_and_slope(
    complex_safe: bool, smooth: bool, coupled: bool
) -> None:
    found = vjp(local(np.tanh, complex_safe=complex_safe, smooth=smooth, coupled=coupled), "x")
    expected = DY * (1 - np.tanh(X) ** 2)
    accuracy = 1e-14 if complex_safe else 1e-8
    assert_interval(found, expected, expected, accuracy)
    assert not found.kink.any()
    assert found.contains(expected).all()
    assert not found.contains(1.001 * expected).any()


def test_outputs_are_added_up_under_their_own_upstream_gradients() -> None:
    two = Local(
        forward=lambda arrays: (arrays["x"] ** 2, np.sin(arrays["x"]).sum(axis=1)),
        branches=lambda arrays: None, names=("x",), arrays={"x": X}, upstream=(DY, DY[:, 0]),
        samples=frozenset({"x"}), coupled=False, complex_safe=True, smooth=False,
    )  # fmt: skip
    expected = 2 * X * DY + np.cos(X) * DY[:, :1]
    assert_interval(vjp(two, "x"), expected, expected, 1e-13)


def test_coupled_layer_is_differentiated_through_every_sample() -> None:
    found = vjp(local(lambda x: x - x.mean(axis=0), coupled=True), "x")
    assert_interval(found, DY - DY.mean(axis=0), DY - DY.mean(axis=0), 1e-13)


def test_parameter_is_differentiated_through_every_sample() -> None:
    weight = normal(4, 4, seed=2)
    layer = Local(
        forward=lambda arrays: (arrays["x"] @ arrays["w"],), branches=lambda arrays: None, names=("x", "w"),
        arrays={"x": X, "w": weight}, upstream=(DY,), samples=frozenset({"x"}), coupled=False, complex_safe=True,
        smooth=True,
    )  # fmt: skip
    assert_interval(vjp(layer, "w"), X.T @ DY, X.T @ DY, 1e-13)
    assert_interval(vjp(layer, "x"), DY @ weight.T, DY @ weight.T, 1e-13)


@pytest.mark.parametrize("complex_safe", [True, False])
@pytest.mark.parametrize("telling", [True, False])
def test_at_a_kink_the_value_lies_between_the_one_sided_slopes(complex_safe: bool, telling: bool) -> None:
    x = X.copy()
    x[0, 1] = x[2, 3] = 0
    branches = (lambda x: np.where(x.real == 0, -1, x.real > 0)) if telling else None
    found = vjp(local(bent, x=x, complex_safe=complex_safe, branches=branches), "x")
    np.testing.assert_array_equal(found.kink, x == 0)
    ends = np.stack([np.where(x > 0, 3 * DY, -DY), np.where(x < 0, -DY, 3 * DY)])
    assert_interval(found, ends.min(axis=0), ends.max(axis=0))
    for share in (0.0, 0.3, 1.0):
        assert found.contains(share * ends[0] + (1 - share) * ends[1]).all()
    for beyond in (1.01, -0.01):
        outside = beyond * ends[0] + (1 - beyond) * ends[1]
        np.testing.assert_array_equal(found.contains(outside), x != 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_curved_piece_beside_a_kink_is_judged_by_its_slope_at_the_kink(sign: int) -> None:
    def curved(x: Any) -> Any:
        return np.where(sign * x.real > 0, np.expm1(2 * x), 0.0 * x)

    found = vjp(local(curved, x=np.zeros((1, 1)), dy=np.ones((1, 1))), "x")
    assert abs(found.high[0, 0] - 2) < 1e-7
    assert found.contains(np.array([[2.0]])).all()
    assert not found.contains(np.array([[2.0 + 1e-4]])).any()


@pytest.mark.parametrize("forward", [np.exp, lambda x: 1e6 * x**3, lambda x: np.sin(30 * x), lambda x: x**2 - 1e4])
def test_curvature_is_no_kink(forward: Any) -> None:
    for complex_safe in (True, False):
        assert not vjp(local(forward, complex_safe=complex_safe), "x").kink.any()


def test_kink_counts_only_where_the_upstream_gradient_is_not_zero() -> None:
    found = vjp(local(bent, x=np.zeros((1, 2)), dy=np.array([[0.0, 1.0]])), "x")
    np.testing.assert_array_equal(found.kink, [[False, True]])


def test_some_entries_can_be_asked_for_and_the_others_are_left_open() -> None:
    for coupled in (False, True):
        found = vjp(local(np.tanh, coupled=coupled), "x", np.array([5]))
        assert np.isfinite(found.low[1, 1])
        assert found.contains(np.full(X.shape, 1e9)).sum() in (9, 11)
        assert not found.contains(np.full(X.shape, 1e9))[1, 1]


def maximum(x: Any) -> Any:
    return np.where(x[:, :1].real >= x[:, 1:].real, x[:, :1], x[:, 1:])


def test_bar_of_a_real_difference_covers_its_error() -> None:
    for forward, slope in ((np.exp, np.exp), (lambda x: np.sin(30 * x), lambda x: 30 * np.cos(30 * x))):
        found = vjp(local(forward, complex_safe=False), "x")
        assert found.contains(DY * slope(X)).all()


def test_size_is_the_sum_of_absolute_contributions() -> None:
    found = vjp(local(lambda x: x @ np.array([[1.0, -1.0]] * 4), dy=np.ones((3, 2))), "x")
    np.testing.assert_allclose(found.size, 2, rtol=1e-12)
    np.testing.assert_allclose(found.low, 0, atol=1e-12)


# Neither smooth at the usual step nor kinked --------------------------------------------------------------------------


@pytest.mark.parametrize("complex_safe", [True, False])
@pytest.mark.parametrize("size", [1e4, 1e6])
def test_oscillation_that_the_usual_step_leaps_over_is_no_kink(size: float, complex_safe: bool) -> None:
    for seed in range(4):
        x = size * normal(3, 4, seed=seed)
        found = vjp(local(np.sin, x=x, complex_safe=complex_safe), "x")
        assert not found.kink.any()
        assert found.contains(DY * np.cos(x), 1e-9).all()
        assert not found.contains(1.1 * DY * np.cos(x)).any()


@pytest.mark.parametrize("complex_safe", [True, False])
def test_values_that_jump_by_their_rounding_have_no_kink(complex_safe: bool) -> None:
    for seed in range(6):
        x = 40 * normal(3, 4, seed=seed)
        found = vjp(local(lambda x: (1 + np.tanh(x / 2)) / 2, x=x, complex_safe=complex_safe), "x")
        assert not found.kink.any()
        assert found.contains(DY * (1 - np.tanh(x / 2) ** 2) / 4, 1e-9).all()


@pytest.mark.parametrize("complex_safe", [True, False])
@pytest.mark.parametrize("distance", [0.0, 0.01, 0.1, 0.3])
def test_kink_within_the_step_leaves_both_slopes_open(distance: float, complex_safe: bool) -> None:
    for away in (distance, -distance):
        x = np.where(normal(3, 4) > 0, away * 2.0**-17, 1.0)
        found = vjp(local(bent, x=x, complex_safe=complex_safe), "x")
        np.testing.assert_array_equal(found.kink, x != 1)


def test_what_cancels_inside_of_large_copies_is_the_worst_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """-t / p + (1 - t) / (1 - p) at p = t is rounding and nothing else."""
    p = np.random.default_rng(0).uniform(0.1, 0.9, (3, 40))
    target = p.copy()

    def entropy(x: Any) -> Any:
        return -target * np.log(x) - (1 - target) * np.log1p(-x)

    cut = local(entropy, p, np.ones_like(p), smooth=True, samples=frozenset())
    each = vjp(cut, "x")
    assert each.contains(np.zeros_like(p)).all()
    monkeypatch.setattr(local_module, "_WIDE", 30 * p.size)
    worst = vjp(cut, "x")
    np.testing.assert_array_equal(worst.low, each.low)
    assert worst.contains(np.zeros_like(p)).all()
    assert (worst.bar >= np.median(each.bar)).all()
    assert (worst.bar <= 3 * each.bar.max()).all()
