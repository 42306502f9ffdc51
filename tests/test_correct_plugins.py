"""Correct layers as people write them, at points where a checker is easily deceived: none is accused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Array, errors, normal, plug, row, told
from support import check

from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear

ONLY = {"checks": ("gradient",)}


def batches(count: int, *shape: int, first: int = 0) -> Array:
    """Batches of normal numbers as one: their samples do not see each other, and one run is cheaper than several."""
    return np.concatenate([normal(*shape, seed=seed) for seed in range(first, first + count)])


def at(value: float) -> Array:
    """Normal numbers, two fifths of which are the value."""
    x = batches(3, 3, 4)
    x[np.random.default_rng(0).random(x.shape) < 0.4] = value
    return x


# A slope that has a kink itself (C1, not C2): the error of a central difference falls like h there, not like h².
SMOOTH_ONCE = {
    "huber": (1.0, lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5), lambda x: np.clip(x, -1, 1)),
    "celu": (
        0.0,
        lambda x: np.maximum(0, x) + np.minimum(0, 2 * np.expm1(x / 2)),
        lambda x: np.where(x > 0, 1, np.exp(x / 2)),
    ),
    "softsign": (0.0, lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    "symlog": (0.0, lambda x: np.sign(x) * np.log1p(np.abs(x)), lambda x: 1 / (1 + np.abs(x))),
}


@pytest.mark.parametrize("method", ["auto", "forward", "five_point", "richardson"])
@pytest.mark.parametrize("name", SMOOTH_ONCE)
def test_where_only_the_slope_has_a_kink_a_difference_errs_like_h(name: str, method: str) -> None:
    value, forward, slope = SMOOTH_ONCE[name]
    report = check(plug(forward, slope), x=at(value), method=method, **ONLY)
    assert not errors(report), told(report)
    assert not report.counts.fail, told(report)


class StdNorm(Layer):
    """(x - mean) / (std + eps), as the annotated transformer writes it; the slope at a constant row is 1 / eps."""

    def forward(self, x: Array) -> Any:
        z, s = x - x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
        return z / (s + 1e-5), (z, s)

    def backward(self, dy: Array, cache: Any) -> Any:
        z, s = cache
        d = dy / (s + 1e-5)
        of_std = np.divide(z, z.shape[1] * s, out=np.zeros_like(z), where=s > 0)
        return d - d.mean(axis=1, keepdims=True) - (dy * z).sum(axis=1, keepdims=True) / (s + 1e-5) ** 2 * of_std, {}


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_norm_with_a_std_plus_eps_at_constant_samples_is_not_wrong(method: str) -> None:
    x = normal(3, 4)
    x[1] = 1.0
    report = check(StdNorm(), x=x, method=method, **ONLY)
    assert not errors(report), told(report)
    assert not report.counts.fail, told(report)


# Samples that are all zero see each other, too.
class BatchNorm(Layer):
    """Batch normalisation."""

    def init(self, rng: np.random.Generator, x_shape: Any) -> dict[str, Array]:
        return {"gamma": rng.standard_normal(x_shape[1]), "beta": rng.standard_normal(x_shape[1])}

    def forward(self, x: Array, gamma: Array, beta: Array) -> Any:
        z = x - x.mean(axis=0)
        r = 1 / np.sqrt((z * z).mean(axis=0) + 1e-5)
        return z * r * gamma + beta, (z * r, r, gamma)

    def backward(self, dy: Array, cache: Any) -> Any:
        h, r, gamma = cache
        d = dy * gamma
        dx = r * (d - d.mean(axis=0) - h * (d * h).mean(axis=0))
        return dx, {"gamma": (dy * h).sum(axis=0), "beta": dy.sum(axis=0)}


def test_samples_that_are_all_zero_are_still_coupled_by_a_batch_norm() -> None:
    report = check(BatchNorm(), x=np.zeros((3, 4)), **ONLY)
    numeric = row(report, "input").worst
    assert numeric is not None
    assert abs(numeric.numeric) < 1e-9, told(report)
    assert report.verdict == "pass", told(report)


# Ties of a function that permutes: every permutation that sorts is a limit of derivatives beside the tie.
class Sort(Layer):
    """Each sample sorted; backward sends every gradient back to where its number came from, as torch.sort does."""

    def forward(self, x: Array) -> Any:
        order = np.argsort(x, axis=1, kind="stable")
        return np.take_along_axis(x, order, 1), order

    def backward(self, dy: Array, cache: Any) -> Any:
        dx = np.zeros_like(dy)
        np.put_along_axis(dx, cache, dy, 1)
        return dx, {}


class TopTwo(Sort):
    """The two greatest."""

    def forward(self, x: Array) -> Any:
        order = np.argsort(-x, axis=1, kind="stable")[:, :2]
        return np.take_along_axis(x, order, 1), (order, x.shape)

    def backward(self, dy: Array, cache: Any) -> Any:
        dx = np.zeros(cache[1], dtype=dy.dtype)
        np.put_along_axis(dx, cache[0], dy, 1)
        return dx, {}


class Median(TopTwo):
    """The middle one of five."""

    def forward(self, x: Array) -> Any:
        order = np.argsort(x, axis=1, kind="stable")[:, 2:3]
        return np.take_along_axis(x, order, 1), (order, x.shape)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layer", [Sort, TopTwo, Median])
def test_three_tied_numbers_may_come_out_in_any_order(layer: type[Layer], dtype: str) -> None:
    x = normal(3, 5)
    x[0, 1:4] = x[0, 1]
    x[1] = 0.7
    report = check(layer(), x=x, dtype=dtype, **ONLY)
    assert not errors(report), told(report)
    assert not report.counts.fail, told(report)


# A complex step that is wrong by less than a real difference can see.
class VarNorm(Layer):
    """Layer normalisation with np.var, whose complex value is E|z - mean|²: small beside eps for small inputs."""

    def forward(self, x: Array) -> Any:
        z = x - x.mean(axis=1, keepdims=True)
        r = 1 / np.sqrt(np.var(x, axis=1, keepdims=True) + 1e-5)
        return z * r, (z * r, r)

    def backward(self, dy: Array, cache: Any) -> Any:
        h, r = cache
        return r * (dy - dy.mean(axis=1, keepdims=True) - h * (dy * h).mean(axis=1, keepdims=True)), {}


@pytest.mark.parametrize("seed", range(4))
def test_a_complex_step_that_is_wrong_by_less_than_a_difference_can_see_convicts_nobody(seed: int) -> None:
    report = check(VarNorm(), x=1e-7 * normal(3, 4, seed=seed), **ONLY)
    assert not errors(report), told(report)
    assert report.verdict == "pass", told(report)


def test_a_small_part_that_is_not_holomorphic_convicts_nobody() -> None:
    layer = plug(lambda x: np.tanh(x) + 1e-11 * np.abs(x), lambda x: 1 - np.tanh(x) ** 2 + 1e-11 * np.sign(x))
    report = check(layer, x=normal(3, 4), **ONLY)
    assert not errors(report), told(report)


# Saturated softmax: what backward says is the rounding of 1 - 1.
class Softmax(Layer):
    """Stable softmax of each sample."""

    def forward(self, x: Array) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        s = e / e.sum(axis=1, keepdims=True)
        return s, s

    def backward(self, dy: Array, s: Array) -> Any:
        return s * (dy - (dy * s).sum(axis=1, keepdims=True)), {}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_saturated_softmax_is_not_wrong_because_one_minus_one_is_zero(dtype: str) -> None:
    report = check(Softmax(), x=300 * batches(12, 3, 4), dtype=dtype, **ONLY)
    assert not errors(report), told(report)


def test_a_saturated_attention_is_not_wrong() -> None:
    class Scores(Layer):
        """softmax(x W xᵀ) over tokens; x (N, 6) as 3 tokens of width 2."""

        def init(self, rng: np.random.Generator, x_shape: Any) -> dict[str, Array]:
            return {"w": rng.standard_normal((2, 2))}

        def forward(self, x: Array, w: Array) -> Any:
            t = x.reshape(len(x), 3, 2)
            z = t @ w @ t.transpose(0, 2, 1)
            e = np.exp(z - z.max(axis=2, keepdims=True))
            p = e / e.sum(axis=2, keepdims=True)
            return p.reshape(len(x), 9), (t, w, p)

        def backward(self, dy: Array, cache: Any) -> Any:
            t, w, p = cache
            d = dy.reshape(p.shape)
            dz = p * (d - (d * p).sum(axis=2, keepdims=True))
            dt = dz @ t @ w.T + dz.transpose(0, 2, 1) @ t @ w
            return dt.reshape(len(dy), 6), {"w": np.einsum("nai,nab,nbj->ij", t, dz, t)}

    for seed in range(3):
        report = check(Scores(), x=20 * batches(4, 3, 6, first=4 * seed), seed=seed, **ONLY)
        assert not errors(report), f"{seed}: {told(report)}"


# A jump that the point is nowhere near is not a staircase.
def test_a_hard_threshold_far_from_its_jumps_is_decided() -> None:
    x = normal(3, 4)
    x[1] = 0
    hard = plug(lambda x: x * (np.abs(x) > 0.5), lambda x: np.abs(x) > 0.5)
    for seed in range(4):
        report = check(Linear(4), hard, Linear(2), x=x, seed=seed, **ONLY)
        assert not errors(report), told(report)
        assert not report.counts.inconclusive, told(report)


# Oscillations that the usual steps do not resolve.
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_sine_of_great_numbers_is_not_wrong(dtype: str) -> None:
    for seed in range(4):
        layers = Linear(4), plug(np.sin, np.cos), Linear(2)
        report = check(*layers, x=1e6 * normal(3, 4, seed=seed), seed=seed, dtype=dtype, **ONLY)
        assert not errors(report), told(report)


# Im f(x + ih) / h is f' - h² f‴ / 6: where f' is 0 exactly, what is left is no derivative.
@pytest.mark.parametrize(("forward", "slope"), [(lambda x: x**3, lambda x: 3 * x**2)])
def test_the_truncation_of_a_complex_step_is_in_its_bar(forward: Any, slope: Any) -> None:
    report = check(plug(forward, slope), x=np.zeros((3, 4)), **ONLY)
    assert report.verdict == "pass", told(report)


# A sigmoid by tanh has no kinks, in no precision.
def test_a_saturated_sigmoid_by_tanh_has_no_kinks_in_float32() -> None:
    layer = plug(lambda x: (1 + np.tanh(x / 2)) / 2, lambda x: (1 - np.tanh(x / 2) ** 2) / 4)
    report = check(layer, x=40 * batches(6, 3, 4), dtype="float32", **ONLY)
    assert not errors(report), told(report)
    assert not report.counts.kink, told(report)
