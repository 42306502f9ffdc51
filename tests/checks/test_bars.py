from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import errors, normal, plug, row, told
from msgspec.structs import replace
from support import case, check

from gradcheck.checks._bars import analytic_error
from gradcheck.evidence import Evidence, gather
from gradcheck.gradients.analytic import Spread
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.log_softmax import LogSoftmax
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss

X = normal(4, 3)
WIDER = 2.0**-53
NAME = "linear_1.weight"


def heard() -> Evidence:
    with np.errstate(all="ignore"):
        return gather(case(Linear(3), Tanh(), x=X, dtype="float32"), "", lambda done, total, name: None)


def error_with(moved: float, wide: float, off: float = 0.0, kink: bool = False) -> Any:
    """The analytic side's error if these were the spread, and W were off by some; all relative to max|n|."""
    evidence = heard()
    found = evidence.estimates[NAME]
    greatest = np.abs(found.value).max()
    spread = Spread(
        np.full(found.value.shape, moved * greatest), np.full(found.value.shape, wide * greatest),
        found.value + off * greatest, WIDER,
    )  # fmt: skip
    found = replace(found, kink=np.full(found.value.shape, kink))
    made = replace(evidence, spread={NAME: spread}, estimates={NAME: found})
    return analytic_error(made, NAME, found) / greatest


# The two bounds -------------------------------------------------------------------------------------------------------


def test_spread_is_the_bar_where_it_tells_enough() -> None:
    bar = error_with(moved=2e-8, wide=1e-8)
    assert (bar > 2e-7).all()


def test_wider_precision_is_the_bar_where_the_spread_tells_too_little() -> None:
    bar = error_with(moved=1e-3, wide=1e-5)
    assert (np.abs(bar - 1e-5) < 1e-10).all()


@pytest.mark.parametrize("why", ["rule is wrong", "not explained by moves", "at a kink"])
def test_wider_precision_excuses_nothing_else(why: str) -> None:
    if why == "rule is wrong":
        assert (error_with(moved=1e-3, wide=1e-5, off=1e-6) > 9e-3).all()
    elif why == "not explained by moves":
        assert (error_with(moved=1e-6, wide=1e-3) > 9e-3).all()
    else:
        # float64 may be on another piece there
        assert (error_with(moved=1e-8, wide=1e-3, kink=True) < 1e-6).all()


@pytest.mark.parametrize("seed", [2, 3, 6])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_entries_that_cancel_in_float32_pass(seed: int, method: str) -> None:
    layers = (Linear(9), LogSoftmax(), Linear(8), Tanh(), Linear(4))
    report = check(*layers, x=normal(9, 8, seed=seed), dtype="float32", method=method, checks=["gradient"])
    assert report.verdict == "pass", told(report)


def test_rounding_counts_at_a_kink_too() -> None:
    """An entry that a shorter step finds smooth after all is judged by this bar."""
    assert (error_with(moved=1e-6, wide=0.0, kink=True) >= 1e-5).all()
    assert (error_with(moved=0.0, wide=1e-6, kink=True) >= 1e-5).all()


# Saturation -----------------------------------------------------------------------------------------------------------


class Attention(Layer):
    """softmax(x) of each sample: the layer `attention_1`; sign is that of the second term of its backward."""

    sign = -1.0

    def forward(self, x: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        s = e / e.sum(axis=1, keepdims=True)
        return s, s

    def backward(self, dy: Any, s: Any) -> Any:
        return s * (dy + self.sign * (dy * s).sum(axis=1, keepdims=True)), {}


#: Samples in which one number is by far the greatest, and what backward makes of it is the rounding of 1 - 1.
FAR = np.array([[60.0, 1, 0, 2], [3, 90, 0, 1], [1, 2, 150, 0]])


class Anew(Attention):
    """The same, with the softmax computed anew in backward: nothing that was kept has been rounded."""

    def forward(self, x: Any) -> Any:
        return super().forward(x)[0], x

    def backward(self, dy: Any, x: Any) -> Any:
        return super().backward(dy, super().forward(x)[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("layer", [Attention(), Anew()])
def test_saturated_samples_do_not_fail_for_their_rounding(layer: Layer, dtype: str, method: str) -> None:
    report = check(layer, x=FAR, dtype=dtype, method=method, checks=["gradient"])
    assert not report.counts.fail, told(report)
    assert not errors(report), told(report)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("far", [20, 60, 300])
def test_what_lies_before_saturated_units_does_not_fail_for_their_rounding(far: float, dtype: str) -> None:
    units = plug(np.tanh, lambda x: 1 - np.tanh(x) ** 2)
    for seed in range(2):
        x = far * (5 + normal(3, 4, seed=seed))
        report = check(Linear(4), units, Linear(2), x=x, seed=seed, dtype=dtype, checks=["gradient"])
        assert not report.counts.fail, told(report)
        assert not errors(report), told(report)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_saturated_samples_beside_others_pass(dtype: str) -> None:
    report = check(Attention(), x=np.concatenate([FAR, normal(3, 4)]), dtype=dtype, checks=["gradient"])
    assert report.verdict == "pass", told(report)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_saturated_samples_hide_no_mistake_in_others(dtype: str) -> None:
    wrong = Attention()
    wrong.sign = -1.01
    report = check(wrong, x=np.concatenate([FAR, normal(3, 4)]), dtype=dtype, checks=["gradient"])
    assert row(report, "input").counts.fail >= 11, told(report)
    wrong.sign = 0.0
    report = check(wrong, x=FAR, dtype=dtype, checks=["gradient"])
    assert row(report, "input").counts.fail, told(report)


# A precision lower than what is returned ------------------------------------------------------------------------------


def half(array: Any) -> Any:
    return array.astype(np.float16).astype(array.dtype)


class Half(Linear):
    """Linear whose backward computes in float16 what it returns in the precision it got: the layer `half_1`.

    only  the precision in which it does; None for all
    """

    only: str | None = None
    part = "dy"

    def backward(self, dy: Any, cache: Any) -> Any:
        if self.only not in (None, str(dy.dtype)):
            return super().backward(dy, cache)
        x, weight, _ = cache
        if self.part == "dy":
            return super().backward(half(dy), cache)
        if self.part == "factors":
            return super().backward(half(dy), (half(x), half(weight), True))
        dx, gradients = super().backward(dy, cache)
        return half(dx), {name: half(gradient) for name, gradient in gradients.items()}


def halved(part: str, only: str | None) -> Any:
    layer = Half(4)
    object.__setattr__(layer, "part", part)
    object.__setattr__(layer, "only", only)
    return layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part", ["dy", "factors", "result"])
def test_cast_to_float16_is_found(part: str, dtype: str) -> None:
    layers = (Linear(5), Tanh(), halved(part, None), Tanh(), Linear(2))
    report = check(*layers, x=X, dtype=dtype, checks=["gradient"])
    for name in ("half_1.weight", "half_1.bias", "linear_1.weight", "input"):
        assert row(report, name).verdict == "fail", told(report)
        assert row(report, name).counts.passed < row(report, name).checked / 4, told(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part", ["dy", "factors", "result"])
def test_cast_to_float16_in_one_precision_alone_never_passes(part: str, dtype: str) -> None:
    layers = (Linear(5), Tanh(), halved(part, dtype), Tanh(), Linear(2))
    report = check(*layers, x=X, dtype=dtype, checks=["gradient"])
    for name in ("half_1.weight", "linear_1.weight", "input"):
        assert row(report, name).verdict in ("fail", "inconclusive"), told(report)


class Total(Loss):
    """Σ p: every upstream gradient is 1."""

    def forward(self, *predictions: Any, **data: Any) -> Any:
        return predictions[0].sum(axis=1), predictions[0]

    def backward(self, upstream: Any, cache: Any) -> Any:
        return np.broadcast_to(upstream[:, None], cache.shape).astype(cache.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("always", [True, False])
def test_sum_in_float16_that_saturates_is_found(dtype: str, always: bool) -> None:
    class Saturating(Linear):
        def backward(self, dy: Any, cache: Any) -> Any:
            dx, gradients = super().backward(dy, cache)
            if always or dy.dtype == dtype:
                total = np.add.accumulate(dy.astype(np.float16), axis=0)[-1]
                gradients = {**gradients, "bias": total.astype(dy.dtype)}
            return dx, gradients

    report = check(Saturating(1), x=np.ones((2500, 1)), loss=Total(), reduction="sum", dtype=dtype, checks=["gradient"])
    bias = row(report, "saturating_1.bias")
    assert bias.worst is not None
    assert bias.worst.analytic == 2048, "1 added to 2048 is 2048 in float16"
    assert bias.verdict == ("fail" if always else "inconclusive"), told(report)
