"""The loss times any number, or inputs and weights rescaled: every entry keeps its verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import normal, wrong
from msgspec.structs import replace
from support import case

import gradcheck.pipeline
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.pipeline import run_case
from gradcheck.spec.case import Case

IMAGES = normal(2, 1, 6, 5) * (np.arange(6) > 2)[:, None]
FACTORS = (1e-30, 1e-8, 1e8, 1e30)


def _half_wrong(dx: Any, gradients: Any) -> Any:
    gradients["weight"][:, 0] *= 1.1
    return dx, gradients


def _images(**options: Any) -> Case:
    layers = (Conv2d(2, 3), Relu(), MaxPool2d(2), Flatten(), wrong(_half_wrong, out_features=4))
    zero_bias = {"conv2d_1.bias": np.zeros(2)}
    data: Any = {"x": IMAGES, "loss": CrossEntropy(), "target": np.array([0, 3]), "parameters": zero_bias}
    return case(*layers, checks=["gradient"], **data, **options)


def _verdicts(of: Case) -> dict[str, list[str]]:
    found = run_case(of, "").gradients
    return {name: array.ravel().tolist() for name, array in found.items() if name.endswith("/verdict")}


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict is known before the mistake is looked for by name."""
    monkeypatch.setattr(gradcheck.pipeline, "diagnosed", lambda findings, accused: tuple(findings))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_loss_times_any_number(method: str, dtype: str) -> None:
    of = _images(method=method, dtype=dtype)
    expected = _verdicts(of)
    assert {"pass", "fail", "kink"} <= {verdict for row in expected.values() for verdict in row}
    for factor in FACTORS if (method, dtype) == ("auto", "float64") else FACTORS[::3]:
        terms = tuple(replace(term, weight=factor * term.weight) for term in of.network.terms)
        assert _verdicts(replace(of, network=replace(of.network, terms=terms))) == expected, factor


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("factor", [2.0**-60, 1e-9, 1e9, 2.0**60])
def test_inputs_and_the_weights_behind_them_rescaled(factor: float, method: str) -> None:
    of = case(Linear(4), Tanh(), wrong(_half_wrong), x=normal(3, 5), method=method, checks=["gradient"])
    arrays = of.point.arrays
    rescaled = {"input": factor * arrays["input"], "linear_1.weight": arrays["linear_1.weight"] / factor}
    expected = _verdicts(of)
    assert {"pass", "fail"} == {verdict for row in expected.values() for verdict in row}
    assert _verdicts(replace(of, point=of.point.with_arrays(rescaled))) == expected
