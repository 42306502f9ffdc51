from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from core_nets import blamed, errors, graph, normal, row, stage_of, told, wrong
from support import case, check

from gradcheck.gradients.numeric.noise import forward_noise
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

X = normal(5, 3)


class Total(Loss):
    """Σ of the prediction, one loss a sample."""

    def forward(self, prediction: Any) -> Any:
        return prediction.reshape(len(prediction), -1).sum(axis=1), prediction.shape

    def backward(self, upstream: Any, cache: Any) -> Any:
        return np.broadcast_to(upstream[:, None], cache) + 0.0


def scattered(x: Any) -> Any:
    """Numbers in ±1 of variance 1/3 that depend on every bit of x and on nothing else."""
    bits = x.view(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 0x9E3779B97F4A7C15)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return (bits >> np.uint64(11)) / 2.0**52 - 1


class Noisy(Layer):
    """y = x, off by a deterministic noise of standard deviation `size`."""

    size = 1e-9

    def forward(self, x: Any) -> Any:
        return x.real + np.sqrt(3) * self.size * scattered(np.ascontiguousarray(x.real)), None

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {}


def noisy(size: float) -> Layer:
    layer = Noisy()
    layer.size = size
    return layer


@pytest.mark.parametrize("size", [1e-13, 1e-9, 1e-5])
def test_noise_of_known_size_is_measured_within_a_factor_of_four(size: float) -> None:
    x = normal(40, 1)
    found = forward_noise(stage_of(case(noisy(size), x=x, loss=Total())))
    assert found.shape == (40,)
    assert size / 2 < np.sqrt(np.mean(found**2)) < 2 * size
    assert (found > size / 8).all()
    assert (np.sort(found)[2:-2] > size / 4).all()
    assert (np.sort(found)[2:-2] < 4 * size).all()


def test_noise_of_independent_outputs_adds_up_in_squares() -> None:
    found = forward_noise(stage_of(case(noisy(1e-9), x=normal(30, 16), loss=Total())))
    assert 2e-9 < np.sqrt(np.mean(found**2)) < 8e-9


def test_noise_is_at_least_half_a_unit_in_the_last_place_of_the_loss() -> None:
    x = np.full((3, 1), 1e6)
    found = forward_noise(stage_of(case(x=x, loss=Mse(), target=0 * x)))
    assert (found >= 2**-53 * 1e12).all()


def test_noise_of_a_clean_forward_is_a_few_units_in_the_last_place() -> None:
    net = case(Linear(8), Tanh(), Linear(2), x=X, loss=Mse(), target=normal(5, 2))
    losses = net.network.forward(net.point).losses[0].sum(axis=1)
    found = forward_noise(stage_of(net)) / np.abs(losses)
    assert (found > 2.0**-55).all()
    assert (np.median(found) < 20 * 2.0**-53).all()


def test_noise_is_measured_for_every_term_and_column() -> None:
    data = {"input": X, "target": normal(5, 2)}
    terms = [
        Term(Mse(), "none", 1.0, ("a",), {"target": "target"}),
        Term(Total(), "sum", 1e9, ("b",), {}, name="loss_2"),
    ]
    layers: list[Any] = [("a", Linear(2), ("input",)), ("b", noisy(1e-6), ("input",))]
    found = forward_noise(stage_of(graph(data, layers, terms)))
    assert found.shape == (15,)
    assert (found[:10] < 1e-13).all()
    assert (found[10:] > 1e-7).all()


def test_error_bars_grow_with_the_noise_and_nothing_fails_for_it() -> None:
    bars = []
    for size in (1e-11, 1e-8, 1e-5):
        report = check(Linear(4), noisy(size), Linear(2), x=X)
        assert not errors(report), told(report)
        assert row(report, "linear_1.weight").method == "central"
        bars.append(row(report, "linear_1.weight").error_bar)
    for narrow, wide in pairwise(bars):
        assert wide > 5 * narrow


def test_mistake_that_is_greater_than_the_noise_still_fails() -> None:
    report = check(Linear(4), noisy(1e-10), wrong(lambda dx, g: (1.01 * dx, g)), x=X)
    assert blamed(report) == [("wrong_linear_1", None)], told(report)
