from __future__ import annotations

from typing import Any

import numpy as np
from core_nets import Declared, graph, normal, stage_of
from support import case

from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.layers.linear import Linear
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.spec.case import Case

X, TARGET = normal(4, 3), normal(4, 2)
OTHER = normal(4, 3, seed=1)


def three_terms() -> Case:
    data = {"input": X, "target": TARGET, "other": OTHER}
    terms = [
        Term(Mse(), "mean", 0.5, ("a",), {"target": "target"}),
        Term(Declared(), "sum", 1.0, ("a",), {"target": "target"}, name="loss_2"),
        Term(L1(), "none", 2.0, ("input",), {"target": "other"}, name="loss_3"),
    ]
    return graph(data, [("a", Linear(2), ("input",))], terms)


def values_of(net: Case) -> tuple[Observables, Any, Any]:
    """The observables, their values at the point, and the forward pass there."""
    stage = stage_of(net)
    return stage.observables, stage.observables.evaluate(stage.copies(1), {}, stage.coupled)[0], stage.arrays


def test_columns_are_samples_reductions_and_samples_alone_in_the_order_of_the_terms() -> None:
    observables, values, arrays = values_of(three_terms())
    squares, absolute = (arrays["a"] - TARGET) ** 2, np.abs(X - OTHER)
    vector = arrays["loss_3.contraction"]
    expected = [
        squares.sum(axis=1), [squares.sum(), squares.mean()], squares.sum(axis=1),
        absolute.sum(axis=1), (absolute * vector).sum(axis=1),
    ]  # fmt: skip
    np.testing.assert_allclose(values, np.concatenate(expected), rtol=1e-14)
    assert observables.width == len(values) == 18


def test_weights_make_every_reduction_out_of_the_columns() -> None:
    observables, values, arrays = values_of(three_terms())
    squares, absolute = (arrays["a"] - TARGET) ** 2, np.abs(X - OTHER)
    expected = {
        (0, "sum"): squares.sum(), (0, "mean"): squares.mean(), (0, "batch_mean"): squares.sum() / 4,
        (1, "sum"): squares.sum(), (1, "mean"): squares.mean(),
        (2, "none"): (absolute * arrays["loss_3.contraction"]).sum(), (2, "mean"): absolute.mean(),
    }  # fmt: skip
    for (term, reduction), value in expected.items():
        shape = (4, 3) if term == 2 else (4, 2)
        weights = observables.weights(term, reduction, arrays, shape)
        np.testing.assert_allclose(values @ weights, value, rtol=1e-14, err_msg=f"{term} {reduction}")
    for term in range(3):
        weights = observables.per_sample_weights(term)
        assert weights is not None
        total = absolute.sum() if term == 2 else squares.sum()
        np.testing.assert_allclose(values @ weights, total, rtol=1e-14)


def test_samples_alone_are_not_measured_for_a_reducing_loss_when_nobody_asks() -> None:
    net = three_terms()
    observables = Observables(net.network, net.point, per_sample=False)
    assert observables.width == 14
    assert observables.per_sample_weights(1) is None
    assert observables.per_sample_weights(0) is not None


def test_columns_belong_to_samples_only_in_the_elementwise_form() -> None:
    assert values_of(case(Linear(2), x=X, loss=Mse(), target=TARGET))[0].sample_by_sample
    assert not values_of(case(Linear(2), x=X, loss=Declared(), target=TARGET))[0].sample_by_sample


def test_each_copy_of_a_prediction_has_a_row_of_its_own() -> None:
    stage = stage_of(three_terms())
    predictions = stage.arrays["a"] + 0.1 * normal(3, 4, 2)
    found = stage.observables.evaluate(stage.copies(3), {"a": predictions}, stage.coupled)
    for k in range(3):
        alone = stage.observables.evaluate(stage.copies(1), {"a": predictions[k : k + 1]}, stage.coupled)
        np.testing.assert_allclose(found[k], alone[0], rtol=1e-14)
    assert found.shape == (3, 18)


def test_copies_lay_samples_behind_each_other_and_repeat_nothing_else() -> None:
    arrays = {"x": X, "w": normal(3, 2), "k": np.arange(4)}
    copies = Copies(arrays, frozenset({"x", "k"}), 4, 3)
    changed = normal(3, 4, 3, seed=2)
    stacked = copies.stacked(("x", "w", "k"), {"x": changed})
    np.testing.assert_array_equal(stacked["x"], changed.reshape(12, 3))
    np.testing.assert_array_equal(stacked["k"], [0, 1, 2, 3] * 3)
    assert stacked["w"] is arrays["w"]
    np.testing.assert_array_equal(copies.stacked(("x",), {})["x"], np.concatenate([X, X, X]))
    one = copies.one(1, ("x", "w"), {"x": changed})
    np.testing.assert_array_equal(one["x"], changed[1])
    sample = copies.sample(2, ("x", "w", "k"), arrays)
    np.testing.assert_array_equal(sample["x"], X[2:3])
    assert (sample["k"].tolist(), sample["w"].shape) == ([2], (3, 2))
