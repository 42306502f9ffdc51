from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import normal, plug
from support import case

from gradcheck.gradients._walk import Rounded, Walk
from gradcheck.layers.linear import Linear

X = normal(4, 3)


TANH = plug(np.tanh, lambda x: 1 - np.tanh(x) ** 2)


def walked(kind: Any, layer: Any, x: Any, dtype: str) -> Any:
    net = case(layer, x=x, dtype=dtype)
    point = net.point.cast(dtype)
    trace = net.network.forward(point)
    walk = kind(net.network, point, trace, *([0] if kind is Rounded else []))
    for position, term in enumerate(net.network.terms):
        walk.through_loss(position, term, 1.0, term.reduction, None)
    for node in reversed(net.network.nodes):
        walk.through(node)
    return walk.finished(), trace.arrays


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_saturated_layer_is_off_by_what_one_rounding_of_its_output_does_to_the_loss(dtype: str) -> None:
    x = 50 * (3 + X)
    (plain, arrays), (rounded, _) = (walked(kind, TANH, x, dtype) for kind in (Walk, Rounded))
    change = np.abs(arrays["plug_1"].astype("float64") * plain["plug_1"]).max(axis=1)
    off = float(np.finfo(dtype).eps) / 2 * change / np.abs(arrays["input"]).max(axis=1)
    found = np.abs(rounded["input"].astype("float64") - plain["input"])
    np.testing.assert_allclose(found, np.broadcast_to(off[:, None], found.shape), rtol=1e-6)
    assert rounded["input"].dtype == dtype
    np.testing.assert_array_equal(rounded["plug_1"], plain["plug_1"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layer", [Linear(2), TANH])
def test_sample_with_a_live_unit_is_not(layer: Any, dtype: str) -> None:
    x = np.concatenate([X, 50 * (3 + X)], axis=1)
    (plain, _), (rounded, _) = (walked(kind, layer, x, dtype) for kind in (Walk, Rounded))
    for name, gradient in plain.items():
        np.testing.assert_array_equal(rounded[name], gradient)


def test_zeros_have_no_size_to_move_by() -> None:
    flat = plug(lambda x: 0 * x + 1, lambda x: 0.0)
    (plain, _), (rounded, _) = (walked(kind, flat, 0 * X, "float64") for kind in (Walk, Rounded))
    np.testing.assert_array_equal(rounded["input"], plain["input"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_rounding_of_zeros_beside_other_samples_has_no_size_either(dtype: str) -> None:
    x = np.concatenate([X, np.finfo(dtype).eps * X[:1]])
    (plain, _), (rounded, _) = (walked(kind, Linear(2), x, dtype) for kind in (Walk, Rounded))
    np.testing.assert_array_equal(rounded["input"], plain["input"])
