"""Normalisation of each channel over the batch."""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import msgspec
import numpy as np
import pytest
from core_nets import errors, notes, verdict
from hypothesis import strategies as st
from norm_laws import NormLaws, head
from support import case, check

from gradcheck.layers.batch_norm import BatchNorm
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh


class TestLaws(NormLaws):
    cases: ClassVar = {
        "rows": (BatchNorm(), laws.normal(5, 3)),
        "images": (BatchNorm(), laws.normal(2, 3, 2, 2)),
        "sequences, a great eps": (BatchNorm(eps=0.5), laws.normal(3, 2, 2)),
        "no bias": (BatchNorm(bias=False), laws.normal(4, 2)),
        "not affine": (BatchNorm(affine=False), laws.normal(4, 2)),
        "one sample": (BatchNorm(), laws.normal(1, 2, 4)),
    }
    couples = True
    other_axes = (1,)

    def group(self, layer, index):
        return index[1]

    def place(self, layer, index):
        return index[1:2]

    def axes(self, layer, x):
        return (0, *range(2, x.ndim))

    def along(self, array, ndim):
        return array.reshape(-1, *[1] * (ndim - 2))

    def draw(self, draw):
        n, behind = draw(st.integers(1, 4)), draw(st.lists(st.integers(1, 3), max_size=2))
        shape = [n + (n * np.prod(behind, dtype=int) == 1), draw(st.integers(1, 3)), *behind]
        layer = BatchNorm(draw(st.sampled_from([1e-5, 0.1])), draw(st.booleans()), draw(st.booleans()))
        return layer, laws.normal(*shape, seed=draw(st.integers(0, 99)))


# Batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("before", "x", "bias"),
    [(Linear(4), laws.normal(6, 3), "linear_1.bias"), (Conv2d(3, 2), laws.normal(3, 2, 4, 3), "conv2d_1.bias")],
    ids=["linear", "conv2d"],
)
def test_bias_before_it_is_vacuous_and_not_wrong(before: Any, x: Any, bias: str, dtype: str) -> None:
    report = check(before, BatchNorm(), *head(x), x=x, dtype=dtype)
    laws.assert_no_false_alarm(report)
    assert errors(report) == []
    assert notes(report) == [("GC601", bias)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_samples_are_coupled_and_the_layer_is_named(dtype: str) -> None:
    report = check(Linear(4), BatchNorm(), Tanh(), x=laws.normal(6, 3), dtype=dtype)
    assert verdict(report, "per_sample") == "not_applicable"
    (reason,) = [result.reason for result in report.checks if result.check == "per_sample"]
    assert reason.startswith("batch_norm_1 couples the samples of a batch (measured)")


# Inference ------------------------------------------------------------------------------------------------------------

INFERENCE = BatchNorm(training=False)


class StatisticsOfTheBatch(BatchNorm):
    def backward(self, dy: Any, cache: Any) -> Any:
        return BatchNorm().backward(dy, cache)


class NotDivided(BatchNorm):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx * cache[1], gradients


@pytest.mark.parametrize("kind", [StatisticsOfTheBatch, NotDivided], ids=lambda kind: kind.__name__)
def test_mistake_in_inference_is_named(kind: type[BatchNorm]) -> None:
    layer = kind(training=False)
    laws.assert_caught(check(layer, x=laws.normal(4, 3), checks=["gradient"], trusted=True), layer, "input")


@pytest.mark.parametrize("shape", [(4, 3), (1, 2), (2, 3, 2, 2)], ids=str)
def test_running_statistics_are_constants_and_couple_nothing(shape: tuple[int, ...]) -> None:
    x = laws.normal(*shape)
    if len(x) > 1:
        laws.hold(INFERENCE, x)
    INFERENCE.check(x.shape)
    report = check(INFERENCE, *head(x), x=x)
    laws.assert_passes(report)
    assert verdict(report, "per_sample") == ("pass" if len(x) > 1 else "not_applicable")
    assert [row.name for row in report.parameters][:2] == ["batch_norm_1.weight", "batch_norm_1.bias"]


def test_inference_says_what_loops_say() -> None:
    def loops(x: Any, dy: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any) -> Any:
        y, dx, dw, db = np.zeros(x.shape), np.zeros(x.shape), np.zeros(weight.shape), np.zeros(bias.shape)
        for index in np.ndindex(*x.shape):
            c = index[1]
            s = (running_var[c] + INFERENCE.eps) ** 0.5
            y[index] = weight[c] * (x[index] - running_mean[c]) / s + bias[c]
            dx[index] = dy[index] * weight[c] / s
            dw[c] += dy[index] * (x[index] - running_mean[c]) / s
            db[c] += dy[index]
        return y, dx, {"weight": dw, "bias": db}

    x = laws.normal(3, 2, 4)
    laws.assert_matches_reference(INFERENCE, loops, x, **laws.drawn(INFERENCE, x))


@pytest.mark.torch
def test_parameters_and_constants_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module, drawn = torch.nn.BatchNorm1d(3), laws.drawn(INFERENCE, laws.normal(4, 3))
    names = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    assert {k: a.shape for k, a in drawn.items()} == {
        k: tuple(p.shape) for k, p in names.items() if k != "num_batches_tracked"
    }


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (BatchNorm(), (4,), "needs an input (N, C, ...), got (4,)"),
        (BatchNorm(), (1, 3), "needs more than one number in each channel (N, C, ...), got (1, 3)"),
        (BatchNorm(), (1, 3, 1, 1), "needs more than one number in each channel (N, C, ...), got (1, 3, 1, 1)"),
    ],
)
def test_shape_is_refused(layer: BatchNorm, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


def test_options_of_a_spec() -> None:
    options = {"eps": 1e-3, "affine": True, "bias": False, "training": False}
    assert msgspec.convert(options, BatchNorm) == BatchNorm(1e-3, True, False, False)
    assert case(BatchNorm(), x=laws.normal(3, 2)).network.nodes[0].constants == {}


@pytest.mark.parametrize("option", [{"eps": 0.0}, {"affine": 1}, {"training": "no"}], ids=str)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert(option, BatchNorm)
