"""Gaussian error linear unit."""

from __future__ import annotations

import ast
import inspect
import math

import msgspec
import numpy as np
import pytest
from activation_laws import ActivationLaws

from gradcheck.layers import gelu
from gradcheck.layers.gelu import Gelu


class ProductRuleForgotten(Gelu):
    def backward(self, dy, cache):
        return dy * self._share(cache), {}


class DensityWithoutItsRoot(Gelu):
    def backward(self, dy, cache):
        return dy * (self._share(cache) + cache * np.exp(-(cache**2) / 2)), {}


class SlopeOfTheOther(Gelu):
    def backward(self, dy, cache):
        return Gelu("none" if self.approximate == "tanh" else "tanh").backward(dy, cache)


class TestLaws(ActivationLaws):
    layers = (Gelu(), Gelu(approximate="tanh"))
    mistakes = (ProductRuleForgotten(), DensityWithoutItsRoot(), SlopeOfTheOther("tanh"), SlopeOfTheOther())
    rtol = 2e-13

    def value(self, layer, x):
        if layer.approximate == "tanh":
            return x * math.exp(-math.log1p(math.exp(-u(x)))) if u(x) > -700 else 0.0
        return x / 2 * math.erfc(-x / math.sqrt(2))

    def slope(self, layer, x):
        if layer.approximate == "tanh":
            if u(x) < -700:
                return 0.0
            inner = math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * x**2)
            share = 1 / (1 + math.exp(-u(x)))
            return share + x * inner * share * math.exp(-u(x)) / (1 + math.exp(-u(x)))
        return math.erfc(-x / math.sqrt(2)) / 2 + x * math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def u(x: float) -> float:
    return math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)


def test_scipy_is_loaded_by_nothing_but_a_call() -> None:
    """A run without this layer, and `gradcheck list layers`, pay nothing for it."""
    top = ast.parse(inspect.getsource(gelu)).body
    assert "scipy" not in " ".join(ast.unparse(n) for n in top if isinstance(n, ast.Import | ast.ImportFrom))


def test_another_approximation_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="approximate"):
        msgspec.convert({"approximate": "erf"}, Gelu)
