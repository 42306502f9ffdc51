from __future__ import annotations

from dataclasses import replace
from typing import Any

import laws
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_laws import entries
from support import ALL, check

from gradcheck.layers.linear import Linear

LAYERS = {
    "two axes": (Linear(3), laws.normal(4, 5)),
    "three axes": (Linear(2), laws.normal(2, 3, 4)),
    "four axes, one output, no bias": (Linear(1, bias=False), laws.normal(2, 1, 3, 2)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class TransposedWeight(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"].T}


class UntransposedInput(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        _, weight, _ = cache
        return dy @ weight, super().backward(dy, cache)[1]


class FirstOutputOnly(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        _, weight, _ = cache
        return dy[..., :1] @ weight.T[:1], super().backward(dy, cache)[1]


class LastSampleOnly(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        x, weight, has_bias = cache
        _, gradients = super().backward(dy[-1:], (x[-1:], weight, has_bias))
        return dy @ weight.T, gradients


class LeadingAxisForgotten(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        x, _, _ = cache
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": x[:, -1].T @ dy[:, -1]}


class AveragedOverBatch(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {name: gradient / len(dy) for name, gradient in gradients.items()}


class BiasOfFirstSample(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": dy[0]}


class OtherSign(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return -dx, gradients


class Detached(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return np.zeros_like(dx), gradients


class BiasForgotten(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {"weight": gradients["weight"]}


@pytest.mark.parametrize(
    ("wrong", "x", "named"),
    [
        (TransposedWeight(4), laws.normal(3, 4), ["weight"]),
        (UntransposedInput(4), laws.normal(3, 4), ["input"]),
        (FirstOutputOnly(3), laws.normal(3, 4), ["input"]),
        (LastSampleOnly(3), laws.normal(3, 4), ["weight", "bias"]),
        (LeadingAxisForgotten(3), laws.normal(2, 3, 4), ["weight"]),
        (AveragedOverBatch(3), laws.normal(3, 4), ["weight", "bias"]),
        (BiasOfFirstSample(3), laws.normal(3, 4), ["bias"]),
        (OtherSign(3), laws.normal(3, 4), ["input"]),
        (Detached(3), laws.normal(3, 4), ["input"]),
        (BiasForgotten(3), laws.normal(3, 4), ["bias"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Linear) else None,
)
def test_planted_mistake_is_named(wrong: Linear, x: Any, named: list[str]) -> None:
    report = check(wrong, x=x, checks=["gradient"], trusted=True, entries=entries(wrong, [x], named))
    for parameter in named:
        laws.assert_caught(report, wrong, parameter)


def test_mistake_is_not_blamed_on_the_layers_around_it() -> None:
    report = check(Linear(4), OtherSign(3), Linear(2), x=laws.normal(3, 4), checks=["gradient"], trusted=True)
    laws.assert_caught(report, "other_sign_1")
    guilty = {finding.layer for finding in report.findings if finding.consequence_of is None}
    assert guilty == {"other_sign_1"}


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Linear, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


@laws.few
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_without_bias_it_is_linear_in_the_input(leading: list[int], inputs: int, outputs: int, seed: int) -> None:
    layer, x = Linear(outputs, bias=False), laws.normal(*leading, inputs, seed=seed)
    laws.upstream_times_output_is_gradient_times_input(layer, x, **laws.drawn(layer, x, seed=seed))


# References -----------------------------------------------------------------------------------------------------------


def reference(x: Any, dy: Any, weight: Any, bias: Any = None) -> Any:
    y, dx, dW = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(weight.shape)
    db = np.zeros(weight.shape[1])
    for row in np.ndindex(*x.shape[:-1]):
        for o in range(weight.shape[1]):
            y[(*row, o)] += 0 if bias is None else bias[o]
            db[o] += dy[(*row, o)]
            for i in range(weight.shape[0]):
                y[(*row, o)] += x[(*row, i)] * weight[i, o]
                dx[(*row, i)] += dy[(*row, o)] * weight[i, o]
                dW[i, o] += dy[(*row, o)] * x[(*row, i)]
    return y, dx, {"weight": dW} if bias is None else {"weight": dW, "bias": db}


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_says_what_loops_say(layer: Linear, x: Any) -> None:
    laws.assert_matches_reference(layer, reference, x, **laws.drawn(layer, x))


# Options --------------------------------------------------------------------------------------------------------------


def test_input_without_features_is_refused() -> None:
    laws.assert_refuses(Linear(3), (4,), message="needs an input (N, ..., in_features), got (4,)")


def test_parameters_are_those_of_torch_with_the_weight_transposed() -> None:
    drawn = Linear(3).init(np.random.default_rng(0), (8, 100))
    assert {name: array.shape for name, array in drawn.items()} == {"weight": (100, 3), "bias": (3,)}
    assert 0.09 < np.abs(drawn["weight"]).max() <= 0.1
    assert replace(Linear(3), bias=False).init(np.random.default_rng(0), (8, 100)).keys() == {"weight"}
