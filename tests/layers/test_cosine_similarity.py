"""Cosine of the angle between the vectors of two inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from laws import normal, run
from layer_laws import LayerLaws

from gradcheck.layers.cosine_similarity import CosineSimilarity


class LengthsHeldConstant(CosineSimilarity):
    def backward(self, dy, cache):
        u, v, y, *rest = cache
        return super().backward(dy, (u, v, 0 * y, *rest))


class LengthsSwapped(CosineSimilarity):
    def backward(self, dy, cache):
        u, v, y, A, B, *rest = cache
        return super().backward(dy, (u, v, y, B, A, *rest))


class SecondForgotten(CosineSimilarity):
    def backward(self, dy, cache):
        (da, db), _ = super().backward(dy, cache)
        return (da, 0 * db), {}


PAIR = normal(3, 4), normal(3, 4, seed=1)


class TestLaws(LayerLaws):
    cases = (
        (CosineSimilarity(), PAIR),
        (CosineSimilarity(dim=-1, eps=1.5), (normal(2, 2, 3), normal(2, 2, 3, seed=1))),
    )
    mistakes = (
        (LengthsHeldConstant(), PAIR, ("a", "b")),
        (LengthsSwapped(), PAIR, ("a", "b")),
        (SecondForgotten(), PAIR, ("b",)),
    )
    refused = (
        (
            CosineSimilarity(),
            ((3, 4), (3, 5)),
            "needs inputs of equal shapes, as nothing is broadcast, got (3, 4) and (3, 5)",
        ),
        (CosineSimilarity(2), ((3, 4), (3, 4)), "needs one of the axes 1, -1 for an input (3, 4), got axis 2"),
    )

    def draw(self, rng):
        shape = rng.integers(2, 4, int(rng.integers(2, 4)))
        layer = CosineSimilarity(int(rng.integers(1, len(shape))), float(rng.choice([1e-8, 0.9])))
        return layer, (rng.standard_normal(shape), rng.standard_normal(shape))

    def value(self, layer, a, b):
        a, b = (np.moveaxis(x, layer.dim, -1) for x in (a, b))
        y = np.zeros(a.shape[:-1])
        for place in np.ndindex(*y.shape):
            lengths = [max(math.sqrt(sum(t * t for t in x[place])), layer.eps) for x in (a, b)]
            y[place] = sum(s * t for s, t in zip(a[place], b[place], strict=True)) / math.prod(lengths)
        return y


@pytest.mark.parametrize("size", [50.0, 1e200])
def test_the_angle_does_not_depend_on_the_lengths(size):
    outcome, scaled = run(CosineSimilarity(), *PAIR), run(CosineSimilarity(), size * PAIR[0], PAIR[1])
    np.testing.assert_allclose(scaled.y[0], outcome.y[0], rtol=1e-14)
    np.testing.assert_allclose(size * scaled.dx[0], outcome.dx[0], rtol=1e-12)


def test_a_vector_of_zeros_is_smooth_and_a_length_of_eps_is_a_border():
    zero, one = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    assert all(np.isfinite(dx).all() for dx in run(CosineSimilarity(), zero, one).dx)
    assert CosineSimilarity(eps=1.0).branches(zero, one).tolist() == [2]
    assert CosineSimilarity(eps=5.0).branches(zero, one).tolist() == [-1]
