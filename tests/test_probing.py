"""Inputs at which mistakes show that hide on the data of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from core_nets import errors, plug, told
from support import diagnosed

from gradcheck.layers._base import Layer
from gradcheck.layers.embedding import Embedding
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.softmax import Softmax
from gradcheck.losses.huber import Huber

X = np.random.default_rng(5).standard_normal((4, 3))
IMAGE = np.random.default_rng(1).standard_normal((2, 1, 4, 4))
ONLY = ("gradient",)


class TwoAtZero(Layer):
    def forward(self, x: Any) -> tuple[Any, Any]:
        return np.where(x.real > 0, x, 0), x

    def backward(self, dy: Any, x: Any) -> tuple[Any, dict[str, Any]]:
        return dy * np.where(x == 0, 2.0, x > 0), {}


@dataclass(frozen=True)
class NoSlope(Layer):
    negative_slope: float = 0.1

    def forward(self, x: Any) -> tuple[Any, Any]:
        return np.where(x.real > 0, x, self.negative_slope * x), x

    def backward(self, dy: Any, x: Any) -> tuple[Any, dict[str, Any]]:
        return dy * np.where(x > 0, 1.0, self.negative_slope or 0.01), {}


class Halves(Layer):
    def forward(self, x: Any) -> tuple[Any, Any]:
        return x[:, :, : x.shape[2] // 2 * 2 : 2], x.shape

    def backward(self, dy: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
        dx = np.zeros((*shape[:2], 2 * dy.shape[2], shape[3]))
        dx[:, :, ::2] = dy
        return dx, {}


class Lookup(Layer):
    def init(self, rng: Any, x_shape: Any) -> dict[str, Any]:
        return {"weight": rng.standard_normal((9, 2))}

    def forward(self, ids: Any, weight: Any) -> tuple[Any, Any]:
        return weight[ids], ids

    def backward(self, dy: Any, ids: Any) -> tuple[Any, dict[str, Any]]:
        gradient = np.zeros((9, 2))
        gradient[ids] = dy
        return None, {"weight": gradient}


def saturated() -> Layer:
    """1 / (1 + e⁻ˣ), whose backward is right up to 40."""
    return plug(lambda x: np.tanh(x / 2), lambda x: np.where(np.abs(x) > 40, 1.0, (1 - np.tanh(x / 2) ** 2) / 2))


HIDDEN: dict[str, tuple[Any, Any, str, str]] = {
    "a slope at a kink": ([Linear(3), TwoAtZero()], X, "GC114", "zeros and ties"),
    "a slope of 0": ([NoSlope()], X, "GC109", "negative_slope = 0"),
    "a remainder": ([Halves()], IMAGE, "GC120", "a size of 5 × 6"),
    "a repeated index": ([Lookup()], np.array([[0, 1, 2], [3, 4, 5]]), "GC111", "an index three times"),
    "far out": ([Linear(2), saturated()], X, "GC109", "|x| = 50"),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_hidden_mistake_shows_with_better_inputs_alone(case: str) -> None:
    layers, x, code, probe = HIDDEN[case]
    plain = diagnosed(*layers, x=x, checks=ONLY)
    assert not errors(plain), told(plain)
    report = diagnosed(*layers, x=x, checks=ONLY, probe=True)
    (found,) = errors(report)
    assert report.verdict == "fail"
    assert found.code == code, told(report)
    assert f" is right on the data of the spec, and wrong with {probe}: " in found.message
    assert [c.verdict for c in report.checks if c.check == "probe"] == ["fail"]


def test_what_is_right_is_right_with_better_inputs_too() -> None:
    report = diagnosed(
        Linear(4), Relu(), Softmax(), x=X, loss=Huber(), target=np.full((4, 4), 0.5), checks=ONLY, probe=True
    )
    assert report.verdict == "pass", told(report)
    (result,) = (c for c in report.checks if c.check == "probe")
    assert set(result.measured["probes"]) == {"linear_1", "relu_1", "softmax_1", "loss"}
    assert "All are right there, too." in result.measured["sentences"][0]
    for layer, x in ((MaxPool2d(2), IMAGE), (Embedding(9, 2), np.array([[0, 1, 2], [3, 4, 5]]))):
        report = diagnosed(layer, x=x, checks=ONLY, probe=True)
        assert not errors(report), told(report)
