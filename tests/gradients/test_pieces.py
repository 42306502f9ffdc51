from __future__ import annotations

import numpy as np
from core_nets import normal, plug
from support import case

from gradcheck.gradients._pieces import all_pieces, pieces, same_pieces
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.losses.l1 import L1


def test_layers_and_terms_that_say_are_asked_with_what_they_get() -> None:
    net = case(
        Linear(2),
        Relu(),
        plug(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
        x=normal(3, 4),
        loss=L1(),
        target=np.zeros((3, 2)),
    )
    arrays = net.network.forward(net.point).arrays
    found = all_pieces(net.network, arrays)
    assert set(found) == {"relu_1", "loss"}
    np.testing.assert_array_equal(found["relu_1"], arrays["linear_1"] > 0)
    np.testing.assert_array_equal(found["loss"], np.where(arrays["plug_1"] == 0, -1, arrays["plug_1"] > 0))
    assert pieces(net.network.nodes[0], arrays) is None


def test_one_unit_elsewhere_is_another_piece() -> None:
    some = {"a": np.array([0, 1]), "b": np.array([1, 1])}
    assert same_pieces(some, {"a": np.array([0, 1]), "b": np.array([1, 1])})
    assert not same_pieces(some, {"a": np.array([0, 1]), "b": np.array([1, -1])})
