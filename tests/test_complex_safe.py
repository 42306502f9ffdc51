"""The drop-in functions are numpy's for real numbers, and carry the derivative for complex ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcheck.complex_safe as cs

H = 1e-30
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))

PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], int]] = {
    "abs": (cs.abs, np.abs, 1),
    "sign": (cs.sign, np.sign, 1),
    "maximum": (cs.maximum, np.maximum, 2),
    "minimum": (cs.minimum, np.minimum, 2),
    "clip": (lambda x: cs.clip(x, -0.5, 0.7), lambda x: np.clip(x, -0.5, 0.7), 1),
    "vdot": (cs.vdot, np.vdot, 2),
    "norm": (cs.norm, np.linalg.norm, 1),
    "norm of rows": (lambda x: cs.norm(x, axis=-1), lambda x: np.linalg.norm(x, axis=-1), 1),
    "norm of columns, kept": (
        lambda x: cs.norm(x, axis=0, keepdims=True),
        lambda x: np.linalg.norm(x, axis=0, keepdims=True),
        1,
    ),
    "var": (cs.var, np.var, 1),
    "var of rows": (lambda x: cs.var(x, axis=1, ddof=1), lambda x: np.var(x, axis=1, ddof=1), 1),
    "var over both axes": (lambda x: cs.var(x, axis=(0, 1)), lambda x: np.var(x, axis=(0, 1)), 1),
    "std": (lambda x: cs.std(x, axis=0, keepdims=True), lambda x: np.std(x, axis=0, keepdims=True), 1),
    "hypot": (cs.hypot, np.hypot, 2),
    "logaddexp": (cs.logaddexp, np.logaddexp, 2),
    "arctan2": (cs.arctan2, np.arctan2, 2),
    "expit": (cs.expit, lambda x: 1 / (1 + np.exp(-x)), 1),
}


@pytest.mark.parametrize("name", PAIRS)
def test_it_is_numpys_for_real_numbers(name: str) -> None:
    ours, numpys, arguments = PAIRS[name]
    found, expected = ours(*(X, Y)[:arguments]), numpys(*(X, Y)[:arguments])
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", PAIRS)
def test_its_complex_step_is_the_derivative(name: str) -> None:
    ours, numpys, arguments = PAIRS[name]
    direction = RNG.standard_normal((2, *X.shape))
    points = [p + 1j * H * v for p, v in zip((X, Y), direction, strict=True)][:arguments]
    ahead, behind = ([p + s * v for p, v in zip((X, Y), direction, strict=True)][:arguments] for s in (1e-6, -1e-6))
    expected = (numpys(*ahead) - numpys(*behind)) / 2e-6
    np.testing.assert_allclose(np.imag(ours(*points)) / H, expected, rtol=1e-7, atol=1e-9)


def test_every_public_function_is_tested() -> None:
    assert {name.split(" ")[0] for name in PAIRS} == set(cs.__all__)


@pytest.mark.parametrize("x", [-800.0, -50.0, 0.0, 50.0, 800.0])
def test_nothing_overflows(x: float) -> None:
    z = np.array([x + 1j * H])
    assert np.isfinite(cs.expit(z)).all()
    assert np.isfinite(cs.logaddexp(z, -z)).all()
    assert np.isfinite(cs.hypot(1e200 * z.real + 1j * H, z)).all()
    assert np.isfinite(cs.norm(1e300 * np.array([1.0, x / 800]))).all()


def test_at_a_tie_the_first_argument_is_taken() -> None:
    a, b = np.array([1 + 1j * H]), np.array([1 + 3j * H])
    assert cs.maximum(a, b) == a
    assert cs.minimum(a, b) == a
    assert cs.abs(np.array([0 + 1j * H])).imag == H


def test_nan_is_not_lost() -> None:
    assert np.isnan(cs.maximum(np.nan, 1.0))
    assert np.isnan(cs.minimum(1.0, np.nan)) == np.isnan(np.minimum(1.0, np.nan))
