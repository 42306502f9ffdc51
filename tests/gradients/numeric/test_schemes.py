from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gradcheck.gradients.numeric.schemes import COMPLEX_STEP, ONE_SIDED, SCHEMES, Scheme

REAL = [*(scheme for scheme in SCHEMES.values() if not scheme.is_complex), *ONE_SIDED]
real = pytest.mark.parametrize("scheme", REAL, ids=lambda scheme: scheme.name)


def derivative(scheme: Scheme, f: Any, x: float, h: float) -> float:
    return float(scheme.combine([np.asarray(f(x + offset * h)) for offset in scheme.offsets], h))


@real
def test_order_is_the_slope_of_the_error_in_the_step(scheme: Scheme) -> None:
    steps = np.array([0.4, 0.2, 0.1]) * (2 if scheme.order > 4 else 0.05 if scheme in ONE_SIDED else 0.5)
    errors = [abs(derivative(scheme, lambda x: np.exp(np.sin(x)), 0.4, h) - _exact(0.4)) for h in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - scheme.order) < 0.15, f"{scheme.name} is said to have order {scheme.order}, its slope is {slope}"


def _exact(x: float) -> float:
    return float(np.exp(np.sin(x)) * np.cos(x))


@real
def test_weights_reproduce_polynomials_up_to_the_order_and_no_further(scheme: Scheme) -> None:
    offsets = [Fraction(offset.real) for offset in map(complex, scheme.offsets)]
    weights = [Fraction(weight).limit_denominator(1000) for weight in scheme.weights]
    assert [float(w) for w in weights] == list(scheme.weights)
    moments = [sum(w * o**power for w, o in zip(weights, offsets, strict=True)) for power in range(scheme.order + 2)]
    assert moments[: scheme.order + 1] == [0, 1, *[0] * (scheme.order - 1)]
    assert moments[-1] != 0, f"the order of {scheme.name} is higher than it says"


@real
def test_relative_step_balances_truncation_and_rounding(scheme: Scheme) -> None:
    best = np.finfo(float).eps ** (1 / (scheme.order + 1))
    assert best / 1.5 < scheme.relative_step() < 1.5 * best
    assert np.log2(scheme.relative_step()).is_integer()


@real
def test_noise_gain_is_what_independent_noise_grows_by(scheme: Scheme) -> None:
    noise = np.random.default_rng(0).standard_normal((len(scheme.offsets), 20_000))
    measured = scheme.combine(list(noise), 1.0).std()
    assert scheme.noise_gain() == pytest.approx(measured, rel=0.03)


def test_complex_step_is_exact_to_the_last_digit() -> None:
    scheme = SCHEMES["complex"]
    for x in (-2.0, 1e-8, 0.3, 40.0):
        found = derivative(scheme, lambda z: np.exp(z) * np.sin(z), x, scheme.relative_step())
        assert found == pytest.approx(np.exp(x) * (np.sin(x) + np.cos(x)), rel=1e-15)


def test_complex_step_is_a_power_of_two_whose_square_vanishes() -> None:
    assert np.log2(COMPLEX_STEP).is_integer()
    assert 1 + COMPLEX_STEP**2 == 1
    assert SCHEMES["complex"].relative_step() == COMPLEX_STEP


def test_a_constant_has_derivative_zero_and_not_nearly_zero() -> None:
    for scheme in SCHEMES.values():
        assert derivative(scheme, lambda x: 0.1 + 0 * x, 0.3, 2.0**-20) == 0


def test_the_values_of_many_entries_are_combined_at_once() -> None:
    x = np.linspace(-1, 1, 5)
    for scheme in REAL:
        h = scheme.relative_step()
        found = scheme.combine([np.sin(x + offset * h) for offset in scheme.offsets], h)
        np.testing.assert_allclose(found, np.cos(x), atol=1e-7)


def test_schemes_go_by_the_names_of_the_command_line() -> None:
    assert set(SCHEMES) == {"complex", "central", "five_point", "forward", "richardson"}


@real
def test_gain_is_what_one_extrapolation_adds_to_the_order(scheme: Scheme) -> None:
    steps = np.array([0.4, 0.2, 0.1, 0.05]) * (2 if scheme.order > 4 else 0.5)
    found = np.array([derivative(scheme, lambda x: np.exp(np.sin(x)), 0.4, h) for h in steps])
    power = 2.0**scheme.order
    errors = np.abs((power * found[1:] - found[:-1]) / (power - 1) - _exact(0.4))
    slope = np.polyfit(np.log(steps[1:]), np.log(errors), 1)[0]
    assert abs(slope - scheme.order - scheme.gain) < 0.3


def test_one_sided_schemes_stay_on_their_side_and_are_nobodys_method() -> None:
    forward, backward = ONE_SIDED
    assert min(map(float, map(np.real, forward.offsets))) == max(map(float, map(np.real, backward.offsets))) == 0
    assert not {scheme.name for scheme in ONE_SIDED} & set(SCHEMES)
