"""Length of the vectors along one or several axes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from laws import assert_refuses, normal, run
from layer_laws import checked
from reduction_laws import ReductionLaws, reductions

from gradcheck.layers.norm import Norm


class NotDivided(Norm):
    def backward(self, dy, cache):
        return np.expand_dims(dy, -1) * cache[0], {}


class SignForgotten(Norm):
    def backward(self, dy, cache):
        return np.abs(super().backward(dy, cache)[0]) * np.sign(dy)[:, None], {}


class ExponentNotLowered(Norm):
    def backward(self, dy, cache):
        x, y = cache
        return dy[:, None] * np.sign(x) * (np.abs(x) / y) ** self.p, {}


class TestLaws(ReductionLaws):
    kind = Norm
    cases = (
        *reductions(Norm),
        (Norm(p=1, dim=1), (normal(2, 3, 2),)),
        (Norm(p=3.5), (normal(3, 4),)),
    )
    mistakes = (
        (NotDivided(), (normal(3, 4),), ("input",)),
        (SignForgotten(), (normal(3, 4),), ("input",)),
        (ExponentNotLowered(p=3), (normal(3, 4),), ("input",)),
    )

    def of(self, layer, numbers):
        return sum(abs(x) ** layer.p for x in numbers) ** (1 / layer.p)

    def drawn_options(self, rng):
        return {"p": float(rng.choice([1, 1.5, 2, 4]))}


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize("size", [50.0, 1e300, 1e-300])
def test_powers_neither_overflow_nor_vanish(p, size):
    x = np.array([[3.0, -4.0]])
    outcome, scaled = (run(Norm(p), k * x, dy=(np.ones(1),)) for k in (1, size))
    np.testing.assert_allclose(scaled.y[0], size * outcome.y[0], rtol=1e-14)
    np.testing.assert_allclose(scaled.dx[0], outcome.dx[0], rtol=1e-14)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_a_vector_of_zeros_is_a_border_with_the_gradient_zero(p):
    layer, x = Norm(p), np.zeros((2, 3))
    x[1] = 1.0
    outcome = run(layer, x, dy=(np.ones(2),))
    assert not outcome.dx[0][0].any()
    assert not layer.forward(x + 1e-30j)[0][0].imag
    assert (np.atleast_1d(layer.branches(x)[0]) == -1).all()
    assert checked(layer, (x,)).counts.fail == 0


def test_an_infinite_p_is_refused():
    message = "needs a finite p; the greatest absolute value is that of `max` behind `abs`"
    assert_refuses(Norm(math.inf), (2, 3), message=message)
