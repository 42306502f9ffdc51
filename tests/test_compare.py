from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from gradcheck.compare import FAIL, INCONCLUSIVE, KINK, PASS, Comparison, Second, excess, row, untested, verdicts
from gradcheck.evidence import RESOLUTION
from gradcheck.findings import Counts, Worst

NAMES = {PASS: "pass", KINK: "kink", INCONCLUSIVE: "inconclusive", FAIL: "fail"}
BAR = 1e-9


def compare(analytic: Any, numeric: Any, bar: Any = BAR, **options: Any) -> Comparison:
    """Entries side by side; the greatest numeric entry is 1 unless the test says so."""
    a, n = np.asarray(analytic, float), np.asarray(numeric, float)
    b = np.broadcast_to(np.asarray(bar, float), a.shape)
    defaults: dict[str, Any] = {"error": b, "selected": np.ones(a.shape, dtype=bool), "resolution": 1e-6}
    return Comparison(analytic=a, numeric=n, bar=b, **{**defaults, **options})


def judge(comparison: Comparison, kink: Any = False, seconds: Any = None, proved: bool = False) -> list[str]:
    """The verdicts by name; by default a second estimate agrees with the first one to the last digit."""
    shape = comparison.analytic.shape
    if seconds is None:
        seconds = [Second(comparison.numeric, comparison.bar)]
    with np.errstate(invalid="ignore"):
        found = verdicts(comparison, np.broadcast_to(kink, shape), seconds, proved)
    return [NAMES[v] for v in found.reshape(-1)]


# The table of the contract --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "n", "bar", "expected"),
    [
        (1.0, 1.0, BAR, "pass"),
        (1 + 0.9 * BAR, 1.0, BAR, "pass"),
        (1 + 1.1 * BAR, 1.0, BAR, "fail"),
        (-1.0, 1.0, BAR, "fail"),
        (0.0, 1.0, BAR, "fail"),
        (1 + 1e-12, 1.0, 0.9e-6, "pass"),
        (1 + 1e-12, 1.0, 1.1e-6, "inconclusive"),
        (1 + 2e-6, 1.0, 1.1e-6, "fail"),
        (1 + 2e-6, 1.0, 1e-3, "inconclusive"),
        (1.0000001e-3, 1e-3, 0.9e-9, "pass"),
        (1.0000001e-3, 1e-3, 1.1e-9, "inconclusive"),
        (1.0001e-7, 1e-7, 0.9e-9, "pass"),
        (1.0001e-7, 1e-7, 1.1e-9, "inconclusive"),
        (0.0, 0.0, 0.9e-9, "pass"),
        (2e-9, 0.0, 0.9e-9, "fail"),
        (0.0, 0.0, 0.0, "pass"),
        (1e-300, 0.0, 0.0, "fail"),
    ],
)
def test_one_entry_among_others_of_size_one(a: float, n: float, bar: float, expected: str) -> None:
    assert judge(compare([a, 1.0], [n, 1.0], [bar, BAR]))[0] == expected


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_verdicts_do_not_depend_on_the_unit_of_the_gradient(scale: float) -> None:
    a, n = np.array([1.0, 1 + 2e-9, -1e-5, 0.0, 0.3 + 1e-8]), np.array([1.0, 1.0, 1e-5, 0.0, 0.3])
    bar = np.array([1e-9, 1e-9, 1e-9, 0.9e-9, 1e-6])
    assert judge(compare(scale * a, scale * n, scale * bar)) == ["pass", "fail", "fail", "pass", "inconclusive"]


def test_single_precision_must_tell_apart_a_thousandth() -> None:
    assert RESOLUTION == {"float64": 1e-6, "float32": 1e-3}
    assert judge(compare([1 + 1e-9], [1.0], 0.9e-3, resolution=1e-3)) == ["pass"]
    assert judge(compare([1 + 1e-9], [1.0], 1.1e-3, resolution=1e-3)) == ["inconclusive"]


def test_bar_never_depends_on_the_distance() -> None:
    wrong = compare([5.0], [1.0])
    assert row("w", wrong, np.array([FAIL]), "complex").error_bar == BAR


# A second estimate ----------------------------------------------------------------------------------------------------


def test_entry_fails_only_if_a_second_estimate_disagrees_too() -> None:
    comparison = compare([2.0], [1.0])
    assert judge(comparison, seconds=[]) == ["inconclusive"]
    assert judge(comparison, seconds=[Second(np.array([1.5]), np.array([0.6]))]) == ["inconclusive"]
    assert judge(comparison, seconds=[Second(np.array([1.2]), np.array([0.4]))]) == ["fail"]


def test_second_estimate_that_contradicts_the_first_clears_the_entry_unless_the_first_is_proved() -> None:
    comparison, other = compare([2.0], [1.0]), [Second(np.array([-5.0]), np.array([0.1]))]
    assert judge(comparison, seconds=other) == ["inconclusive"]
    assert judge(comparison, seconds=other, proved=True) == ["fail"]


def test_second_estimate_that_says_nothing_is_no_disagreement() -> None:
    assert judge(compare([2.0], [1.0]), seconds=[Second(np.array([0.0]), np.array([np.inf]))]) == ["inconclusive"]
    assert judge(compare([2.0], [1.0]), seconds=[Second(np.array([np.nan]), np.array([0.1]))]) == ["inconclusive"]


def test_second_estimate_that_sides_with_backward_against_the_first_clears_it() -> None:
    against = Second(np.array([1.0]), np.array([0.1]))
    sides = Second(np.array([2.0]), np.array([0.1]))
    for proved in (True, False):
        assert judge(compare([2.0], [1.0]), seconds=[against, sides], proved=proved) == ["inconclusive"]
        assert judge(compare([2.0], [1.0]), seconds=[sides, against], proved=proved) == ["inconclusive"]


def test_second_estimate_never_fails_an_entry_that_passes() -> None:
    assert judge(compare([1.0], [1.0]), seconds=[Second(np.array([7.0]), np.array([0.1]))]) == ["pass"]


# Kinks, rtol, vacuity, non-finite numbers -----------------------------------------------------------------------------


def test_kink_replaces_every_verdict_of_a_finite_entry() -> None:
    comparison = compare([1.0, 2.0, 1 + 1e-9], [1.0, 1.0, 1.0], [BAR, BAR, 1.0])
    assert judge(comparison, kink=True) == ["kink"] * 3
    assert judge(comparison, kink=[False, True, False]) == ["pass", "kink", "inconclusive"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_number_that_is_not_finite_never_passes_whatever_else_is_said(value: float) -> None:
    for rtol in (0.0, 1e9):
        for kink in (False, True):
            assert judge(compare([value, 1.0], [1.0, 1.0], rtol=rtol), kink)[0] == "fail"
            assert judge(compare([value, 1.0], [value, 1.0], rtol=rtol), kink, seconds=[])[0] == "fail"
            outside = compare([1.0, 1.0], [value, 1.0], rtol=rtol)
            assert judge(outside, kink)[0] == "inconclusive"
            assert judge(replace(outside, defined=False), kink)[0] == "fail"


def test_number_that_is_not_finite_spoils_no_other_entry() -> None:
    for value in (np.nan, np.inf):
        assert judge(compare([1.0, value], [1.0, 1.0]))[0] == "pass"
        assert judge(compare([1.0, 1.0], [1.0, value]))[0] == "pass"
        assert judge(compare([1.0, 1.0], [1.0, 1.0], [BAR, value]))[0] == "pass"


def test_bar_that_is_not_a_number_never_passes() -> None:
    assert judge(compare([1 + 1e-12, 1.0], [1.0, 1.0], [np.nan, BAR]))[0] == "inconclusive"
    assert judge(compare([1 + 1e-12, 1.0], [1.0, 1.0], [np.inf, BAR]))[0] == "inconclusive"


def test_rtol_widens_a_pass_and_nothing_else() -> None:
    a, n = [1.0, 1 + 1e-8, 1.005, 1.02, 1 + 1e-9, 1e-5], [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    bar = [BAR, BAR, BAR, BAR, 1e-3, BAR]
    strict = ["pass", "fail", "fail", "fail", "inconclusive", "fail"]
    assert judge(compare(a, n, bar)) == strict
    assert judge(compare(a, n, bar, rtol=1e-2)) == ["pass", "pass", "pass", "fail", "pass", "fail"]
    wide = row("w", compare(a, n, bar, rtol=1e-2), np.zeros(6, dtype=int), "central")
    assert wide.error_bar == 1e-3


def test_tensor_below_its_own_errors_is_vacuous_and_is_asked_only_for_agreement() -> None:
    zero = compare([1e-10, -1e-10], [5e-10, -5e-10])
    assert zero.vacuous
    assert judge(zero) == ["pass", "pass"]
    assert judge(compare([3e-9, 0.0], [5e-10, -5e-10])) == ["fail", "pass"]
    assert not compare([1e-10, 1.0], [5e-10, 1.0]).vacuous
    assert not compare([np.nan], [np.nan]).vacuous


def test_entry_at_a_kink_has_no_part_in_whether_its_tensor_is_vacuous() -> None:
    kink = np.array([False, True])
    tensor = compare([1e-10, 0.5], [5e-10, 1.0], kink=kink, noticeable=1e-6)
    assert tensor.vacuous
    assert judge(tensor) == ["pass", "fail"]
    assert not compare([0.0], [0.0], kink=np.array([True])).vacuous
    coarse = compare([1e-10, 0.5], [5e-10, 0.6], bar=[BAR, 1.0], kink=kink, noticeable=1e-6)
    assert judge(coarse) == ["pass", "inconclusive"]


def test_tensor_whose_error_could_hide_a_gradient_is_not_vacuous() -> None:
    coarse = compare([0.1], [0.2], bar=0.5, noticeable=1e-3)
    assert not coarse.vacuous
    assert judge(coarse) == ["inconclusive"]
    assert compare([1e-4], [2e-4], bar=5e-4, noticeable=1e-3).vacuous


def test_exact_agreement_within_a_bar_that_tells_nothing_apart_is_inconclusive() -> None:
    for bar in (1e-3, np.inf, np.nan):
        assert judge(compare([1.0, 1.0], [1.0, 1.0], [bar, BAR]))[0] == "inconclusive"


def test_rounding_of_backward_alone_does_not_make_a_tensor_vacuous() -> None:
    noisy = compare([1.1], [1.0], bar=5.0, error=np.array([1e-12]))
    assert not noisy.vacuous
    assert judge(noisy) == ["inconclusive"]


# The row of the report ------------------------------------------------------------------------------------------------


def a_row(**options: Any) -> Any:
    a = np.array([[1.0, 2.0, 0.5], [1e-12, 3.0, -4.0]])
    n = np.array([[1.0, 2.2, 0.5], [0.0, 3.0, -4.4]])
    bar = np.array([[1e-9, 1e-2, 1e-9], [1e-9, 0.1, 1e-3]])
    comparison = compare(a, n, bar, **options)
    return comparison, np.array([[PASS, FAIL, PASS], [PASS, INCONCLUSIVE, FAIL]])


def test_row_says_what_the_contract_defines() -> None:
    comparison, verdict = a_row()
    found = row("head.weight", comparison, verdict, "central", "because")
    assert (found.name, found.shape, found.entries, found.checked) == ("head.weight", (2, 3), 6, 6)
    assert (found.verdict, found.counts) == ("fail", Counts(passed=3, fail=2, inconclusive=1))
    assert found.max_abs_error == pytest.approx(0.4)
    assert found.max_rel_error == pytest.approx(0.2 / 2.2)
    assert found.error_bar == 0.1
    assert found.worst == Worst((1, 2), -4.0, -4.4, 1e-3)
    assert found.detectable == pytest.approx(1e-9)
    assert (found.method, found.reason, found.directions) == ("central", "because", None)


def test_relative_error_looks_only_at_entries_that_are_greater_than_their_bars() -> None:
    comparison = compare([1e-10, 1.0, 2e-9], [2e-10, 1.0, 1.5e-9])
    assert row("w", comparison, np.zeros(3, dtype=int), "").max_rel_error == pytest.approx(1 / 3)
    tiny = compare([1e-10, 0.0], [2e-10, 0.0])
    assert row("w", tiny, np.zeros(2, dtype=int), "").max_rel_error == 0
    assert row("w", tiny, np.zeros(2, dtype=int), "").detectable is None


def test_counts_add_up_to_what_was_selected() -> None:
    comparison, verdict = a_row()
    selected = np.array([[True, True, False], [False, False, True]])
    found = row("w", replace(comparison, selected=selected), verdict, "")
    assert (found.entries, found.checked, found.counts.total) == (6, 3, 3)
    assert found.counts == Counts(passed=1, fail=2)
    assert found.error_bar == 1e-2


def test_row_of_nothing_is_not_applicable_and_has_no_worst_entry() -> None:
    comparison, verdict = a_row()
    found = row("w", replace(comparison, selected=np.zeros((2, 3), dtype=bool)), verdict, "")
    assert (found.verdict, found.checked, found.worst, found.detectable) == ("not_applicable", 0, None, None)
    empty = row("w", compare(np.zeros((0, 2)), np.zeros((0, 2))), np.zeros((0, 2), dtype=int), "")
    assert (empty.verdict, empty.entries, empty.worst) == ("not_applicable", 0, None)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [([0, 0], "pass"), ([0, KINK], "kink"), ([KINK, INCONCLUSIVE], "inconclusive"), ([INCONCLUSIVE, FAIL], "fail")],
)
def test_row_has_its_worst_verdict(verdict: Any, expected: str) -> None:
    assert row("w", compare([1.0, 1.0], [1.0, 1.0]), np.array(verdict), "").verdict == expected


def test_worst_entry_is_the_one_most_bars_off_and_not_the_one_farthest_off() -> None:
    comparison = compare([1.0, 100.0], [1.0 + 5e-9, 101.0], [1e-9, 1.0])
    found = row("w", comparison, np.array([FAIL, PASS]), "").worst
    assert found is not None
    assert found.index == (0,)


def test_worst_entry_is_one_that_is_not_finite() -> None:
    comparison = compare([1.0, np.nan, 1.0], [7.0, 1.0, 1.0])
    found = row("w", comparison, np.array([FAIL, FAIL, PASS]), "")
    assert found.worst is not None
    assert found.worst.index == (1,)
    assert np.isnan(found.worst.analytic)
    assert found.max_abs_error == np.inf


def test_entries_on_kinks_do_not_count_for_the_errors_unless_there_are_no_others() -> None:
    comparison = compare([1.0, 0.0], [1.0, 0.5])
    found = row("w", comparison, np.array([PASS, KINK]), "")
    assert (found.max_abs_error, found.max_rel_error) == (0, 0)
    assert found.worst is not None
    assert found.worst.index == (0,)
    all_kinks = row("w", comparison, np.array([KINK, KINK]), "")
    assert all_kinks.worst is not None
    assert all_kinks.worst.index == (1,)


def test_excess_is_defined_where_bars_or_distances_vanish() -> None:
    found = excess(np.array([2.0, 0.0, 1.0, np.inf]), np.array([0.5, 0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(found, [4.0, 0.0, np.inf, np.inf])


def test_entries_that_pass_with_a_gradient_of_zero_are_untested() -> None:
    selected = np.array([True, True, True, True, True, False])
    comparison = compare([1, 0, 1e-9, 0, 0.5, 0], [1, 0, 1e-9, 2e-10, 0, 0], bar=1e-9, selected=selected)
    found = verdicts(comparison, np.zeros(6, dtype=bool), [Second(comparison.numeric, comparison.bar)])
    assert found.tolist() == [PASS, PASS, PASS, PASS, FAIL, PASS]
    assert untested(comparison, found).tolist() == [False, True, True, True, False, False]
    assert row("w", comparison, found, "").untested == 3
    assert row("w", comparison, np.full(6, KINK), "").untested == 0


def test_detectable_is_never_smaller_than_the_relative_tolerance() -> None:
    for rtol, expected in ((0.01, 0.01), (1e-12, BAR)):
        comparison = compare([1, 1], [1, 1], rtol=rtol)
        assert row("w", comparison, np.zeros(2, dtype=int), "").detectable == pytest.approx(expected)
