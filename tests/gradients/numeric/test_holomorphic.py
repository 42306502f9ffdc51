from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Array, errors, normal, plug, told
from support import case, check

from gradcheck.gradients.numeric._holomorphic import conjugate_share
from gradcheck.gradients.numeric.safety import unsafe
from gradcheck.layers._base import Layer

ONLY = {"checks": ("gradient",)}


def share(forward: Any, x: Array) -> float:
    return conjugate_share(lambda arrays: (forward(arrays["x"]),), {"x": x}, ["x"])


def relu(x: Any) -> Any:
    return np.where(x.real > 0, x, 0)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def standardised(x: Any, axis: int = 1) -> Any:
    z = x - x.mean(axis=axis, keepdims=True)
    return z / np.sqrt((z * z).mean(axis=axis, keepdims=True) + 1e-5)


#: Functions that are holomorphic, but for kinks, poles and what rounding makes of them.
HOLOMORPHIC: dict[str, Any] = {
    "tanh": np.tanh,
    "log": lambda x: np.log(1 + x * x),
    "1 / x": lambda x: 1 / x,
    "softmax": softmax,
    "log-softmax": lambda x: x - np.log(np.exp(x - x.real.max()).sum(axis=1, keepdims=True)),
    "a norm over features": standardised,
    "a norm over samples": lambda x: standardised(x, 0),
    "relu": relu,
    "many kinks": lambda x: relu(x @ normal(6, 40) + normal(40)) @ normal(40, 5),
    "many poles": lambda x: np.tanh(x @ normal(6, 40) + normal(40)) @ normal(40, 5),
    "deep": lambda x: softmax(np.tanh(x @ normal(6, 40)) @ normal(40, 5)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.79788 * (x + 0.044715 * x**3))),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "sort": lambda x: np.sort(x, axis=1),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "huber": lambda x: np.where(np.abs(x.real) < 1, x * x / 2, np.where(x.real > 0, x, -x) - 0.5),
    "an offset": lambda x: 1e6 + np.tanh(x),
    "an oscillation": lambda x: np.sin(1e3 * x),
}
SPARSE = np.where(normal(8, 6, seed=1) > 0.5, 0, normal(8, 6))
POINTS = {
    "normal": normal(8, 6),
    "tiny": 1e-7 * normal(8, 6),
    "great": 20 * normal(8, 6),
    "huge": 300 * normal(8, 6),
    "with zeros": SPARSE,
    "with ties": np.round(2 * normal(8, 6)) / 2,
    "constant samples": np.repeat(normal(8, 1), 6, axis=1),
}


@pytest.mark.parametrize("x", POINTS.values(), ids=POINTS)
def test_holomorphic_functions_have_no_conjugate_wherever_kinks_and_poles_lie(x: Array) -> None:
    with np.errstate(all="ignore"):
        assert {name: share(forward, x) for name, forward in HOLOMORPHIC.items()} == dict.fromkeys(HOLOMORPHIC, 0.0)


@pytest.mark.parametrize("size", [1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("forward", [np.tanh, relu, softmax, HOLOMORPHIC["gelu"]], ids=["tanh", "relu", "softmax", "g"])
def test_a_conjugate_that_counts_for_little_is_seen(forward: Any, size: float) -> None:
    for small in (np.abs, lambda x: x * x.conj(), lambda x: np.var(x, axis=1, keepdims=True)):
        assert share(lambda x, small=small: forward(x) + size * small(x), normal(8, 6)) > size / 100


def test_a_conjugate_of_numbers_that_are_zero_is_seen() -> None:
    x = normal(4, 3)
    x[:, 1] = 0
    assert share(lambda x: np.exp(x) + 1e-10 * x[:, 1:2].conj(), x) > 1e-11


def test_a_circle_that_leaves_the_domain_decides_nothing_and_a_shorter_one_may() -> None:
    def checked(x: Any, inside: float) -> Any:
        if np.abs(x.real - normal(8, 6)).max() > inside:
            raise ValueError
        return np.tanh(x) + 1e-11 * np.abs(x)

    def reason(inside: float) -> str:
        net = case(plug(lambda x: checked(x, inside), None), x=normal(8, 6))
        return unsafe(net.network, net.network.forward(net.point).arrays).get("plug_1", "")

    sentence = (
        "takes the conjugate of complex numbers (as abs, var and std do), by 3e-10 of its slope: too little for a "
    )
    assert reason(0.1) == sentence + "real difference, too much for a complex step"
    assert reason(1e-4) == ""


class VarNorm(Layer):
    """Layer normalisation with np.var, whose complex value is E|z - mean|²: small beside eps for small inputs."""

    def forward(self, x: Array) -> Any:
        z = x - x.mean(axis=1, keepdims=True)
        r = 1 / np.sqrt(np.var(x, axis=1, keepdims=True) + 1e-5)
        return z * r, (z * r, r)

    def backward(self, dy: Array, cache: Any) -> Any:
        h, r = cache
        return r * (dy - dy.mean(axis=1, keepdims=True) - h * (dy * h).mean(axis=1, keepdims=True)), {}


@pytest.mark.parametrize("scale", [1e-6, 1e-7, 1e-8])
def test_complex_step_that_is_wrong_by_less_than_a_difference_can_see_convicts_nobody(scale: float) -> None:
    for seed in range(3):
        report = check(VarNorm(), x=scale * normal(3, 4, seed=seed), **ONLY)
        assert not errors(report), told(report)
        assert report.verdict == "pass", told(report)


def test_small_part_that_is_not_holomorphic_convicts_nobody() -> None:
    layer = plug(lambda x: np.tanh(x) + 1e-11 * np.abs(x), lambda x: 1 - np.tanh(x) ** 2 + 1e-11 * np.sign(x))
    report = check(layer, x=normal(3, 4), **ONLY)
    assert not errors(report), told(report)
