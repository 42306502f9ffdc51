"""Wrong backwards that are found, and layers that may do what they like to their arrays: it should stay so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Array, blamed, errors, normal, plug, relu_with, told, wrong
from support import check

from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss

ONLY = {"checks": ("gradient",)}


# Ties: shares inside [0, dy] that do not add up to dy.
class WrongPool(MaxPool2d):
    """Max pooling whose gradient of a tied window (the second one) is changed."""

    spec_name = "wrong_pool"
    shares: Any = None

    def backward(self, dy: Array, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        dx = dx.copy()
        dx[0, 0, :2, 2:] = dy[0, 0, 0, 1] * np.asarray(self.shares).reshape(2, 2)
        return dx, gradients


@pytest.mark.parametrize(
    ("shares", "right"),
    [((1, 0, 0, 0), 1), ((0.25,) * 4, 1), ((1, 1, 1, 1), 0), ((0, 0, 0, 0), 0), ((2, 0, 0, 0), 0), ((2, -1, 0, 0), 0)],
)
def test_the_shares_of_a_tied_window_add_up(shares: Any, right: int) -> None:
    x = normal(2, 1, 4, 4)
    x[0, 0, :2, 2:] = 0
    layer: Any = WrongPool(kernel_size=2)
    object.__setattr__(layer, "shares", shares)
    report = check(layer, x=x, **ONLY)
    assert report.verdict == ("kink" if right else "fail"), told(report)


class GreatestLoss(Loss):
    """max_j p_j for each sample, elementwise form; at a tie each gets all."""

    def forward(self, prediction: Array) -> Any:
        return prediction[np.arange(len(prediction)), prediction.real.argmax(axis=1)], prediction

    def backward(self, upstream: Array, cache: Array) -> Any:
        return upstream[:, None] * (cache == cache.max(axis=1, keepdims=True))


def test_a_tie_in_an_elementwise_loss_is_handed_out_once() -> None:
    x = normal(3, 4)
    x[0] = 0
    report = check(Linear(4), x=x, loss=GreatestLoss(), parameters={"linear_1.bias": np.zeros(4)}, **ONLY)
    assert blamed(report)[0][0] == "loss", told(report)


# Slopes at a kink that are outside by a hair.
@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("black_box", [False, True])
@pytest.mark.parametrize("slope", [1 + 1e-9, -1e-9])
def test_a_slope_at_zero_that_is_outside_by_a_hair_is_wrong(slope: float, black_box: bool, method: str) -> None:
    x = normal(3, 4)
    x[0] = 0
    layers = Linear(4, bias=False), relu_with(slope, black_box), Linear(2)
    report = check(*layers, x=x, method=method, **ONLY)
    assert [finding.code for finding in errors(report)] == ["GC114"], told(report)


# Small mistakes, great noise.
@pytest.mark.parametrize("features", [3, 64])
def test_a_mistake_of_a_millionth_of_a_millionth_has_its_culprit(features: int) -> None:
    guilty = wrong(lambda dx, gradients: (dx * (1 + 1e-12), gradients), out_features=features)
    report = check(Linear(4), Tanh(), guilty, Tanh(), Linear(2), x=normal(3, 4), **ONLY)
    assert {layer for layer, _ in blamed(report)} == {"wrong_linear_1"}, told(report)


def test_a_chaotic_term_does_not_hide_a_wrong_factor() -> None:
    guilty = plug(np.tanh, lambda x: 1.5 * (1 - np.tanh(x) ** 2) + 1e-3 * np.sin(1e14 * x))
    report = check(Linear(4), guilty, Linear(2), x=normal(3, 4), **ONLY)
    assert {layer for layer, _ in blamed(report)} == {"plug_1"}, told(report)


class HalfSum(Linear):
    """A linear layer that adds up the gradient of its bias in float16, and casts it back."""

    def backward(self, dy: Array, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": dy.astype(np.float16).sum(axis=0, dtype=np.float16).astype(dy.dtype)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_accumulation_in_float16_is_found(dtype: str) -> None:
    report = check(HalfSum(3), x=normal(6, 4), dtype=dtype, **ONLY)
    assert blamed(report) == [("half_sum_1", "half_sum_1.bias")], told(report)


# Layers that write into what they are given.
class InPlace(Layer):
    """y = x², computed and differentiated in place."""

    def forward(self, x: Array) -> Any:
        kept = x.copy()
        x *= x
        return x, kept

    def backward(self, dy: Array, cache: Array) -> Any:
        cache *= 2
        dy *= cache
        return dy, {}


class InPlaceWeight(Linear):
    """A linear layer that spoils its weight on the way back."""

    def forward(self, x: Array, weight: Array, bias: Any = None) -> Any:
        return x @ weight + bias, (x, weight)

    def backward(self, dy: Array, cache: Any) -> Any:
        x, weight = cache
        dx = dy @ weight.T
        weight *= 0.5
        return dx, {"weight": x.T @ dy, "bias": dy.sum(axis=0)}


def test_layers_that_work_in_place_spoil_nothing() -> None:
    report = check(InPlaceWeight(4), Tanh(), InPlace(), InPlaceWeight(2), x=normal(3, 4), **ONLY)
    assert report.verdict == "pass", told(report)
