"""Directions from end to end: what they find, whom they blame, and which entries they name."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from core_nets import BlackRelu, blamed, double, errors, normal, notes, plug, relu_with, row, told, verdict, wrong
from support import case, check

from gradcheck.findings import SpecReport
from gradcheck.gradients.numeric.draws import Draws
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.pipeline import check_case, run_case

X = normal(6, 5)
ONLY = ("gradient", "vacuity")
WEIGHT = "wrong_linear_1.weight"


def probed(change: Any, out_features: int = 30, x: Any = X, **options: Any) -> SpecReport:
    """Linear, tanh, the changed linear layer (8 x 30), tanh, linear; along four directions."""
    options = {"checks": ONLY, "directions": 4, **options}
    return check(Linear(8), Tanh(), wrong(change, out_features), Tanh(), Linear(2), x=x, **options)


def entries(*changes: tuple[tuple[int, int], float]) -> Any:
    """A backward whose gradient of the weight is changed by a factor in some entries."""

    def change(dx: Any, g: Any) -> Any:
        for index, factor in changes:
            g["weight"][index] *= factor
        return dx, g

    return change


@cache
def one_wrong(size: float) -> SpecReport:
    """One entry of the weight is off by this share of itself."""
    return probed(entries(((3, 17), 1 + size)))


def named(report: SpecReport) -> list[Any]:
    assert all(finding.code.startswith("GC1") for finding in errors(report)), told(report)
    return sorted((finding.parameter, finding.index) for finding in errors(report))


def test_rows_say_what_was_drawn_and_that_no_entry_was_checked() -> None:
    report = check(Linear(8), Tanh(), Linear(2), x=X, directions=3)
    assert report.verdict == "pass", told(report)
    for found in report.rows:
        assert (found.checked, found.counts.total, found.worst) == (0, 0, None)
        assert found.directions == {"drawn": 3, "pass": 3, "fail": 0}
        assert found.detectable is not None
        assert found.detectable < 1e-10
    assert "3 random directions" in report.course
    assert [verdict(report, name) for name in ("gradient", "reduction", "per_sample")] == ["pass"] * 3


def test_one_direction_is_raised_to_two_and_says_so() -> None:
    report = check(Linear(3), x=X, directions=1)
    assert row(report, "input").directions == {"drawn": 2, "pass": 2, "fail": 0}
    assert "2 random directions" in report.course
    assert "may cancel" in report.course


@pytest.mark.parametrize("size", [1e-8, 1.0, -2.0])
def test_one_wrong_entry_is_named(size: float) -> None:
    report = one_wrong(size)
    assert named(report) == [(WEIGHT, (3, 17))], told(report)
    (finding,) = errors(report)
    assert finding.layer == "wrong_linear_1"
    assert finding.replay.endswith(f"--entry '{WEIGHT}[3, 17]'")
    assert "only wrong entry" in finding.message
    assert [r.name for r in report.rows if r.verdict == "fail"] == [WEIGHT]


def test_numbers_that_differ_by_little_are_told_apart_in_the_message() -> None:
    (finding,) = errors(one_wrong(1e-8))
    said = finding.message.partition("backward says ")[2].partition(", forward says ")
    assert said[0] != said[2].partition(" ")[0]


def test_several_wrong_entries_are_all_named_with_the_count_of_evaluations() -> None:
    wanted = [(0, 0), (2, 29), (5, 5), (7, 1), (7, 29)]
    report = probed(entries(*((index, 1.5) for index in wanted)))
    assert named(report) == [(WEIGHT, index) for index in wanted], told(report)
    measured = next(c for c in report.checks if c.check == "gradient").measured
    search = measured["bisection"][WEIGHT]
    assert search["entries"] == [list(index) for index in wanted]
    assert 5 < search["evaluations"] <= 60
    assert f"{search['evaluations']} evaluations of the loss" in errors(report)[0].message


def test_mistakes_that_cancel_along_one_direction_are_found_along_another() -> None:
    """Along the first the two cancel exactly, so that halving it finds neither."""
    rays = [Draws(4, 7).ray(WEIGHT, (8, 30), draw).signs for draw in range(4)]
    apart = np.argwhere((rays[0] != rays[0][0, 0]) & (rays[1] == rays[1][0, 0]))[0]
    other = tuple(int(i) for i in apart)

    def change(dx: Any, g: Any) -> Any:
        g["weight"][0, 0] += 0.25
        g["weight"][other] += 0.25
        return dx, g

    report = probed(change)
    assert row(report, WEIGHT).directions["fail"] < 4, told(report)  # type: ignore[index]
    assert named(report) == [(WEIGHT, (0, 0)), (WEIGHT, other)], told(report)


@pytest.mark.parametrize(("where", "said"), [
    ((slice(None), slice(None)), "most of its 240 entries are wrong"),
    ((slice(None), 4), "entries in column 4 of 30 are wrong"),
    ((3, slice(None)), "entries in row 3 of 8 are wrong"),
])  # fmt: skip
def test_a_dense_mistake_is_handed_over_to_structure(where: Any, said: str) -> None:
    def change(dx: Any, g: Any) -> Any:
        g["weight"][where] *= 1.5
        return dx, g

    report = probed(change) if where[1] != 4 else check(
        Linear(20), Tanh(), wrong(change, 30), Linear(2), x=X, checks=ONLY, directions=4
    )  # fmt: skip
    (finding,) = errors(report)
    assert said.partition(" of ")[0] in finding.message, finding.message
    assert finding.index is not None
    assert np.zeros((20, 30))[where].size
    measured = next(c for c in report.checks if c.check == "gradient").measured["bisection"][WEIGHT]
    assert measured["dense"]


def test_a_layer_that_hands_back_a_wrong_gradient_is_guilty_and_the_rest_its_consequence() -> None:
    report = probed(lambda dx, g: (1.01 * dx, g), 5, X[:3], directions=2)
    assert blamed(report) == [("wrong_linear_1", None)], told(report)
    assert "hands back to tanh_1" in errors(report)[0].message
    consequences = {f.parameter for f in report.findings if f.consequence_of == errors(report)[0].id}
    assert consequences == {"linear_1.weight", "linear_1.bias", "input"}


def test_a_wrong_entry_in_front_of_a_guilty_layer_is_named_too() -> None:
    def both(dx: Any, g: Any) -> Any:
        g["weight"][2, 3] *= 2
        return dx, g

    layers = (wrong(both, 12), Tanh(), double(lambda dy: (2.5 * dy, {})), Linear(2))
    report = check(*layers, x=X[:3], checks=ONLY, directions=2)
    assert (WEIGHT, (2, 3)) in [(f.parameter, f.index) for f in errors(report)], told(report)
    assert ("double_1", None) in blamed(report)


def test_float32_passes_as_float64_does() -> None:
    right = check(Linear(8), Tanh(), Linear(30), Tanh(), Linear(2), x=X, directions=4, dtype="float32")
    assert right.verdict == "pass", told(right)


@pytest.mark.parametrize("size", [0.2, 1.0])
def test_float32_is_held_against_float64(size: float) -> None:
    report = probed(entries(((3, 17), 1 + size)), dtype="float32")
    assert named(report) == [(WEIGHT, (3, 17))], told(report)


@pytest.mark.parametrize("method", ["central", "five_point", "richardson"])
def test_differences_find_it_too(method: str) -> None:
    right = check(Linear(3), Tanh(), Linear(2), x=X, directions=2, method=method)
    assert right.verdict == "pass", told(right)
    report = probed(entries(((3, 9), 1.5)), 12, method=method, directions=2)
    assert named(report) == [(WEIGHT, (3, 9))], told(report)
    assert row(report, WEIGHT).method == method


def test_a_plugin_that_no_complex_step_may_pass_is_probed_by_differences() -> None:
    layer = plug(lambda x: np.abs(np.exp(x)), lambda x: np.exp(x))
    report = check(Linear(3), layer, Linear(2), x=X[:3], directions=2)
    assert report.verdict == "pass", told(report)
    found = row(report, "linear_1.weight")
    assert found.method == "central"
    assert "not the complex step, because plug_1" in found.reason
    layer = plug(lambda x: np.abs(np.exp(x)), lambda x: 1.01 * np.exp(x))
    broken = check(Linear(3), layer, Linear(2), x=X[:3], directions=2, checks=ONLY)
    assert blamed(broken) == [("plug_1", None)], told(broken)


def test_a_forward_of_noise_is_inconclusive_not_wrong() -> None:
    rng = np.random.default_rng(0)
    rough = plug(lambda x: x + 1e-3 * rng.standard_normal(x.shape), np.ones_like)
    report = check(Linear(4), rough, x=X, directions=2, checks=ONLY, method="central")
    found = row(report, "linear_1.weight")
    assert found.verdict == "inconclusive", told(report)
    assert found.directions == {"drawn": 2, "pass": 0, "fail": 0}


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_what_is_not_finite_fails(nothing: float) -> None:
    report = probed(entries(((3, 17), nothing)))
    assert row(report, WEIGHT).directions == {"drawn": 4, "pass": 0, "fail": 4}
    assert [f.code for f in errors(report)] == ["GC115"], told(report)


def test_a_forgotten_gradient_is_its_own_finding() -> None:
    report = probed(lambda dx, g: (dx, {"bias": g["bias"]}))
    assert [(f.code, f.parameter) for f in errors(report)] == [("GC108", WEIGHT)], told(report)


# Kinks ----------------------------------------------------------------------------------------------------------------


AT_ZERO = {"linear_1.weight": np.zeros((5, 3)), "linear_1.bias": np.zeros(3)}


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_directions_that_meet_a_kink_are_judged_layer_by_layer(slope: float) -> None:
    report = check(Linear(3), relu_with(slope), Linear(2), x=X[:3], directions=2, parameters=AT_ZERO, checks=ONLY)
    assert row(report, "linear_1.bias").verdict == "kink", told(report)
    assert row(report, "linear_1.bias").directions == {"drawn": 2, "pass": 0, "fail": 0}
    assert not errors(report), told(report)


@pytest.mark.parametrize("slope", [-0.5, 1.5])
def test_a_slope_outside_of_the_kink_fails(slope: float) -> None:
    report = check(Linear(3), relu_with(slope), Linear(2), x=X[:3], directions=2, parameters=AT_ZERO, checks=ONLY)
    assert row(report, "linear_1.bias").verdict == "fail", told(report)
    assert errors(report)[0].code == "GC114"
    assert "relu" in errors(report)[0].layer


def test_kinks_elsewhere_disturb_no_complex_step() -> None:
    report = check(Linear(9), Relu(), Linear(2), x=X, directions=4, checks=ONLY)
    assert {found.verdict for found in report.rows} == {"pass"}, told(report)


def test_black_boxes_with_kinks_are_right_or_wrong_by_themselves() -> None:
    right = check(Linear(3), BlackRelu(), Linear(2), x=X, directions=3, parameters=AT_ZERO, checks=ONLY)
    assert not errors(right), told(right)


# The other checks -----------------------------------------------------------------------------------------------------


class Twice(Mse):
    """A gradient that is not linear in the upstream one."""

    def backward(self, upstream: Any, cache: Any) -> Any:
        gradient = super().backward(upstream, cache)
        return gradient * np.sign(upstream).max() / np.abs(upstream).max()


def test_reduction_and_per_sample_are_compared_along_the_directions() -> None:
    report = check(Linear(2), x=X[:3], loss=Twice(), target=normal(3, 2), directions=2)
    assert verdict(report, "reduction") == "fail", told(report)

    def last_only(dx: Any, g: Any) -> Any:
        return np.concatenate([0 * dx[:-1], dx[-1:]]), g

    leaking = check(Linear(2), wrong(last_only), x=X[:3], directions=2)
    assert verdict(leaking, "gradient") == "fail"
    assert verdict(leaking, "per_sample") in ("fail", "pass")


def test_a_tensor_without_gradient_is_noted() -> None:
    report = check(Linear(2), double(lambda dy: (0 * dy, {})), x=X[:3], directions=2, checks=ONLY)
    assert report.verdict == "fail"
    dead = check(Linear(2), plug(lambda x: 0 * x + 1, np.zeros_like), x=X[:3], directions=2, checks=ONLY)
    assert {code for code, _ in notes(dead)} <= {"GC601", "GC602", "GC603"}, told(dead)
    assert ("GC603", "linear_1.weight") in notes(dead) or ("GC601", "linear_1.weight") in notes(dead), told(dead)


# Entries of tensors that are too large --------------------------------------------------------------------------------


def test_an_entry_is_looked_at_alone_where_the_tensor_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck._course.PATIENCE", 0.0)
    layers = (Linear(8), Tanh(), wrong(entries(((3, 17), 2.0)), 30), Tanh(), Linear(2))
    for index, expected in (((3, 17), "fail"), ((3, 18), "pass")):
        report = check(*layers, x=X, checks=ONLY, entries=((WEIGHT, index),))
        found = row(report, WEIGHT)
        assert (found.checked, found.verdict, found.directions) == (1, expected, None), told(report)
        assert "Only the entries" in report.course
    report = check(*layers, x=X, checks=ONLY, entries=((WEIGHT, (3, 17)),))
    assert named(report) == [(WEIGHT, (3, 17))], told(report)


def test_large_networks_are_probed_unless_the_sweep_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck._course.PATIENCE", 0.0)
    report = check(Linear(3), x=X, checks=ONLY)
    assert row(report, "input").directions == {"drawn": 8, "pass": 8, "fail": 0}
    assert "`--directions 0` forces it" in report.course
    swept = check(Linear(3), x=X, checks=ONLY, directions=0)
    assert row(swept, "input").checked == X.size
    assert "as was asked for" in swept.course


def test_a_dump_has_the_directions_and_their_slopes() -> None:
    net = case(Linear(3), x=X, checks=ONLY, directions=2)
    found = run_case(net, "").gradients
    g, v = found["linear_1.weight/gradient"], found["linear_1.weight/directions"]
    assert v.shape == (2, *g.shape)
    assert np.allclose(found["linear_1.weight/analytic"], (g * v).sum(axis=(1, 2)), rtol=1e-13)
    assert found["linear_1.weight/numeric"].shape == found["linear_1.weight/bar"].shape == (2,)
    assert found["linear_1.weight/verdict"].tolist() == ["pass", "pass"]


def test_the_same_case_gives_the_same_report() -> None:
    assert check_case(case(Linear(3), x=X, directions=3)) == check_case(case(Linear(3), x=X, directions=3))
