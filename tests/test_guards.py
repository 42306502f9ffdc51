"""Guards and staircases from end to end: forwards that misbehave where they are probed, and are right at the point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import blamed, errors, normal, plug, row, told
from support import check

from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.mse import Mse

P = np.random.default_rng(5).uniform(0.05, 0.95, (4, 3))


def at(value: float) -> Any:
    x = P.copy()
    x[0, 0] = x[2, 1] = value
    return x


#: By name: the domain, a forward with its slope, and data close to or on the border.
GUARDS: dict[str, tuple[Any, Any, Any, Any]] = {
    "x >= 0, on it": (lambda x: x >= 0, lambda x: x**1.5 + x, lambda x: 1.5 * np.sqrt(x) + 1, at(0)),
    "x >= 0, near it": (lambda x: x >= 0, lambda x: x * x + x, lambda x: 2 * x + 1, at(1e-9)),
    "x > 0, near it": (lambda x: x > 0, np.log, lambda x: 1 / x, at(1e-7)),
    "p <= 1, on it": (lambda x: x <= 1, lambda x: x**3, lambda x: 3 * x**2, at(1)),
    "p <= 1, near it": (lambda x: x <= 1, lambda x: x**3, lambda x: 3 * x**2, at(1 - 1e-10)),
    "two borders": (lambda x: (x >= 0) & (x <= 1), np.exp, np.exp, np.where(P < 0.3, 0, np.where(P > 0.7, 1, P))),
    "many zeros": (lambda x: x >= 0, lambda x: x * x + np.sin(x), lambda x: 2 * x + np.cos(x), np.where(P < 0.5, 0, P)),
    "nothing but zeros": (lambda x: x >= 0, lambda x: x * x + np.sin(x), lambda x: 2 * x + np.cos(x), 0 * P),
}
guards = pytest.mark.parametrize(("inside", "forward", "slope", "x"), GUARDS.values(), ids=GUARDS)
methods = pytest.mark.parametrize("method", ["auto", "central"])
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])
ways = pytest.mark.parametrize(
    ("method", "dtype"), [("auto", "float64"), ("central", "float64"), ("central", "float32")]
)


def guarded(inside: Any, forward: Any) -> Any:
    def checked(x: Any) -> Any:
        if not inside(x.real).all():
            raise ValueError("outside the domain")
        return forward(x)

    return checked


@guards
@methods
@dtypes
def test_layer_that_checks_its_domain_passes(
    inside: Any, forward: Any, slope: Any, x: Any, method: str, dtype: str
) -> None:
    report = check(plug(guarded(inside, forward), slope), Linear(2), x=x, method=method, dtype=dtype)
    assert report.verdict == "pass", told(report)
    assert row(report, "input").method == ("complex" if method == "auto" else "central")


@guards
@ways
def test_layer_that_checks_its_domain_and_is_wrong_fails(
    inside: Any, forward: Any, slope: Any, x: Any, method: str, dtype: str
) -> None:
    wrong = plug(guarded(inside, forward), lambda x: 1.3 * slope(x))
    report = check(wrong, Linear(2), x=x, method=method, dtype=dtype, checks=["gradient"])
    assert {found.layer for found in errors(report)} == {"plug_1"}, told(report)
    assert row(report, "input").counts.fail, told(report)


@methods
@dtypes
@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_loss_that_checks_its_domain(factor: float, method: str, dtype: str) -> None:
    class Entropy(Loss):
        def forward(self, prediction: Any, target: Any) -> Any:
            if (prediction.real > 1).any() or (prediction.real < 0).any():
                raise ValueError("needs probabilities")
            return (prediction - target) ** 2 * (2 - prediction), (prediction, target)

        def backward(self, upstream: Any, cache: Any) -> Any:
            p, t = cache
            return factor * upstream * (2 * (p - t) * (2 - p) - (p - t) ** 2)

    x = np.where(P < 0.3, 0, np.where(P > 0.7, 1, P))
    report = check(x=x, loss=Entropy(), target=P[::-1] + 0.5, method=method, dtype=dtype)
    assert (report.verdict, blamed(report)) == (("pass", []) if factor == 1 else ("fail", [("loss", "input")])), told(
        report
    )


@methods
def test_entry_that_cannot_be_moved_at_all_is_undecided(method: str) -> None:
    def fixed(x: Any) -> Any:
        if x[x.real > 5].size and not (x[x.real > 5] == 7).all():
            raise ValueError("7 or nothing")
        return np.abs(x)

    x = P.copy()
    x[1, 1] = 7
    for slope in (1.0, 1.3):
        report = check(plug(fixed, lambda x, slope=slope: slope * np.sign(x)), x=x, method=method, checks=["gradient"])
        counts = row(report, "input").counts
        assert counts.inconclusive == 1, told(report)
        assert (counts.fail, counts.passed) == ((0, 11) if slope == 1 else (11, 0)), told(report)


# Staircases -----------------------------------------------------------------------------------------------------------


def _half(x: Any) -> Any:
    return x.astype(np.float16).astype(float)


def _quantised(x: Any) -> Any:
    step = np.abs(x).max() / 127
    return np.round(x / step) * step


STAIRS: dict[str, tuple[Any, Any]] = {
    "float16": (lambda x: _half(np.tanh(x)), lambda x: 1 - np.tanh(x) ** 2),
    "float16 in front": (lambda x: np.tanh(_half(x)), lambda x: 1 - np.tanh(x) ** 2),
    "float16, as it is": (lambda x: (x * x).astype(np.float16), lambda x: 2 * x),
    "float16 beside float64": (lambda x: x + _half(x), lambda x: 2.0),
    "float32": (lambda x: np.tanh(x).astype(np.float32), lambda x: 1 - np.tanh(x) ** 2),
    "a fixed grid": (lambda x: np.round(256 * x) / 256, lambda x: 1.0),
    "eight bits": (_quantised, lambda x: 1.0),
}
stairs = pytest.mark.parametrize(("forward", "slope"), STAIRS.values(), ids=STAIRS)


@stairs
@pytest.mark.parametrize(
    ("method", "dtype", "seed"), [("auto", "float64", 0), ("central", "float64", 1), ("auto", "float32", 1)]
)
def test_right_backward_of_a_staircase_is_never_wrong(
    forward: Any, slope: Any, method: str, dtype: str, seed: int
) -> None:
    options: Any = {
        "x": normal(4, 3, seed=seed),
        "seed": seed,
        "method": method,
        "dtype": dtype,
        "checks": ["gradient"],
    }
    report = check(Linear(3, bias=False), plug(forward, slope), Tanh(), Linear(2, bias=False), **options)
    assert report.verdict in ("pass", "inconclusive"), told(report)
    assert row(report, "input").method == "central"


@stairs
@pytest.mark.parametrize(("method", "factor"), [("auto", 0.0), ("central", -1.0)], ids=["detached", "sign"])
def test_wrong_backward_of_a_staircase_never_passes(forward: Any, slope: Any, method: str, factor: float) -> None:
    layer: Layer = plug(forward, lambda x: factor * slope(x))
    report = check(
        Linear(3, bias=False), layer, Tanh(), Linear(2, bias=False), x=normal(4, 3), method=method, checks=["gradient"]
    )
    if forward is not _quantised:  # whose steps are too wide for the sizes of these gradients
        assert report.verdict == "fail", told(report)
    assert {found.layer for found in errors(report)} <= {"plug_1"}, told(report)
    assert row(report, "input").counts.passed == 0, told(report)


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_tensor_without_a_gradient_at_the_border_of_a_domain_is_not_moved_out_of_it_in_earnest(method: str) -> None:
    class Nothing(Layer):
        def forward(self, x: Any) -> Any:
            if (np.real(x) > 1).any():
                raise ValueError("needs x <= 1")
            return 0 * x, None

        def backward(self, dy: Any, cache: Any) -> Any:
            return 0 * dy, {}

    x = np.array([[1.0, 0.5], [0.25, 1.0]])
    for target in (np.ones((2, 2)), np.zeros((2, 2))):
        report = check(Nothing(), x=x, loss=Mse(), target=target, method=method)
        assert not errors(report), told(report)
        assert report.counts.fail == report.counts.inconclusive == 0, told(report)
