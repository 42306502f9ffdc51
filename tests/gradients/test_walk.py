from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import normal
from support import case

from gradcheck.gradients._walk import Rounded, Walk
from gradcheck.layers.linear import Linear

X = normal(4, 3)


def walked(kind: Any, dtype: str, x: Any = X) -> Any:
    net = case(Linear(2), x=x, dtype=dtype)
    point = net.point.cast(dtype)
    trace = net.network.forward(point)
    walk = kind(net.network, point, trace, *([0] if kind is Rounded else []))
    for position, term in enumerate(net.network.terms):
        walk.through_loss(position, term, 1.0, term.reduction, None)
    for node in reversed(net.network.nodes):
        walk.through(node)
    return walk.finished(), trace.arrays


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_each_layer_is_off_by_what_one_rounding_of_its_output_does_to_the_loss(dtype: str) -> None:
    (plain, arrays), (rounded, _) = walked(Walk, dtype), walked(Rounded, dtype)
    change = np.abs(arrays["linear_1"].astype("float64") * plain["linear_1"]).max(axis=1)
    unit = float(np.finfo(dtype).eps) / 2
    for name in ("input", "linear_1.weight"):
        size = np.abs(arrays[name]).max(axis=1) if name == "input" else np.abs(arrays[name]).max()
        off = unit * (change if name == "input" else change.max()) / size
        found = np.abs(rounded[name].astype("float64") - plain[name]).max(axis=1)
        last = np.spacing(np.abs(plain[name]).max(axis=1))
        assert (found <= off + last).all()
        assert (found >= off - last).all()
        assert rounded[name].dtype == dtype
    np.testing.assert_array_equal(rounded["linear_1"], plain["linear_1"])


def test_zeros_have_no_size_to_move_by() -> None:
    x = X * [[1.0], [0.0], [1.0], [1.0]]
    (plain, _), (rounded, _) = walked(Walk, "float64", x), walked(Rounded, "float64", x)
    np.testing.assert_array_equal(rounded["input"][1], plain["input"][1])
    assert np.isfinite(rounded["input"]).all()
