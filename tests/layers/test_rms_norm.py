"""Division by the root mean square."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from laws import normal, run
from layer_laws import LayerLaws

from gradcheck.layers.rms_norm import RmsNorm


class RootHeldConstant(RmsNorm):
    def backward(self, dy, cache):
        z, r, weight = cache
        return super().backward(dy, (0 * z, r, weight))[0], super().backward(dy, cache)[1]


class MeanTakenAwayToo(RmsNorm):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx - dx.mean(axis=-1, keepdims=True), gradients


class WeightForgotten(RmsNorm):
    def backward(self, dy, cache):
        z, r, weight = cache
        return super().backward(dy, (z, r, np.ones_like(weight)))[0], super().backward(dy, cache)[1]


class WeightOfTheLastSample(RmsNorm):
    def backward(self, dy, cache):
        z, r, weight = cache
        return super().backward(dy, cache)[0], super().backward(dy[-1:], (z[-1:], r[-1:], weight))[1]


X = normal(3, 4)


class TestLaws(LayerLaws):
    cases = (
        (RmsNorm(), (X,)),
        (RmsNorm((2, 3), eps=0.1), (normal(2, 2, 3),)),
        (RmsNorm(3, elementwise_affine=False), (normal(2, 2, 3),)),
    )
    mistakes = (
        (RootHeldConstant(), (X,), ("input",)),
        (MeanTakenAwayToo(), (X,), ("input",)),
        (WeightForgotten(), (X,), ("input",)),
        (WeightOfTheLastSample(), (X,), ("weight",)),
    )
    refused = (
        (RmsNorm(), ((3,),), "needs an input with an axis behind the batch axis, got (3,)"),
        (RmsNorm(5), ((3, 4),), "needs an input (N, ..., 5), got (3, 4)"),
        (RmsNorm((3, 4)), ((3, 4),), "needs an input (N, ..., 3, 4), got (3, 4)"),
    )

    def draw(self, rng):
        shape = tuple(int(n) for n in rng.integers(2, 4, int(rng.integers(2, 5))))
        tail = shape[int(rng.integers(1, len(shape))) :]
        layer = RmsNorm(None if len(tail) == 1 else tail, float(rng.choice([1e-6, 0.3])), bool(rng.random() < 0.5))
        return layer, (rng.standard_normal(shape),)

    def value(self, layer, x, weight=None):
        tail = layer.normalized_shape or (x.shape[-1],)
        tail = tail if isinstance(tail, tuple) else (tail,)
        y = x.reshape(-1, math.prod(tail)).copy()
        for row in y:
            row /= math.sqrt(sum(t * t for t in row.tolist()) / len(row) + layer.eps)
            row *= 1 if weight is None else weight.ravel()
        return y.reshape(x.shape)


def test_zeros_and_huge_entries_are_finite():
    for x in (np.zeros((1, 3)), 1e100 * normal(1, 3)):
        outcome = run(RmsNorm(elementwise_affine=False), x)
        assert np.isfinite([*outcome.y, *outcome.dx]).all()


def test_options_of_a_spec():
    assert msgspec.convert({"normalized_shape": [2, 3]}, RmsNorm) == RmsNorm((2, 3))
    assert msgspec.convert({}, RmsNorm) == RmsNorm()
