from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from attention_loops import attention
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.catalogue import Catalogue
from gradcheck.layers.linear import Linear
from gradcheck.layers.scaled_dot_product_attention import ScaledDotProductAttention
from gradcheck.pipeline import run_spec
from gradcheck.spec.read import Overrides

Q, K, V = laws.normal(2, 3, 4), laws.normal(2, 2, 4, seed=1), laws.normal(2, 2, 5, seed=2)
SEEN = np.array([[[1, 1], [0, 1], [0, 0]], [[1, 0], [1, 1], [0, 1]]])
HEADS = tuple(laws.normal(2, 2, 3, 2, seed=seed) for seed in range(3))
LAYERS = {
    "plain": (ScaledDotProductAttention(), (Q, K, V)),
    "scaled": (ScaledDotProductAttention(scale=-1.5), (Q, K, V)),
    "causal": (ScaledDotProductAttention(is_causal=True), (Q, K, V)),
    "mask with an empty row": (ScaledDotProductAttention(), (Q, K, V, SEEN)),
    "boolean mask, causal": (ScaledDotProductAttention(is_causal=True), (Q, K, V, SEEN != 0)),
    "keys of each sample": (ScaledDotProductAttention(), (Q, K, V, SEEN[:, 1:2])),
    "scores of each sample": (ScaledDotProductAttention(scale=2.0), (Q, K, V, laws.normal(2, 3, 2))),
    "scores of each key, causal": (ScaledDotProductAttention(is_causal=True), (Q, K, V, laws.normal(2, 1, 2))),
    "heads": (ScaledDotProductAttention(), HEADS),
    "heads with scores of their own": (ScaledDotProductAttention(), (*HEADS, laws.normal(2, 2, 3, 3))),
}


# References -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "inputs"), LAYERS.values(), ids=LAYERS)
def test_says_what_loops_say(layer: ScaledDotProductAttention, inputs: Any) -> None:
    def reference(q: Any, k: Any, v: Any, *others: Any) -> Any:
        *masks, dy = others
        y, dx = attention(q, k, v, masks[0] if masks else None, dy, layer.scale, layer.is_causal)
        return y, dx[: len(inputs)], {}

    laws.assert_matches_reference(layer, reference, *inputs)


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, inputs in LAYERS.values():
        laws.hold(layer, *inputs)


@st.composite
def drawn(draw: Any) -> Any:
    n, heads, length, keys, e = (draw(st.integers(1, 3)) for _ in range(5))
    lead, seed = (n, heads)[: draw(st.integers(1, 2))], draw(st.integers(0, 99))
    q, k, v = (laws.normal(*lead, *size, seed=seed) for size in ((length, e), (keys, e), (keys, 2)))
    axes = [draw(st.sampled_from([1, size])) for size in (*lead, length, keys)][draw(st.integers(0, len(lead))) :]
    seen = laws.normal(*axes) > 0
    scores = laws.normal(*axes[:-1], keys)  # one for each key: what is added to all of them has no gradient
    mask = draw(st.sampled_from([None, scores, seen, seen.astype(int)]))
    layer = ScaledDotProductAttention(draw(st.booleans()), draw(st.sampled_from([None, 0.0, 0.3, -2.0])))
    return layer, (q, k, v) if mask is None else (q, k, v, mask)


@laws.few
@given(drawn())
def test_any_options_are_differentiated(example: Any) -> None:
    layer, inputs = example
    layer.check(*[x.shape for x in inputs])
    laws.backward_is_the_derivative(layer, *inputs)


@laws.few
@given(st.integers(0, 99), st.floats(-100, 100))
def test_what_moves_all_scores_of_a_query_changes_nothing(seed: int, shift: float) -> None:
    """One vector added to every key moves the scores of a query alike: the gradients of the keys add up to zero."""
    q, k, v = laws.normal(2, 3, 2, seed=seed), laws.normal(2, 3, 2, seed=seed + 1), laws.normal(2, 3, 2, seed=seed + 2)
    layer = ScaledDotProductAttention()
    outcome, moved = laws.run(layer, q, k, v), laws.run(layer, q, k + shift * q[:, :1], v)
    np.testing.assert_allclose(moved.y[0], outcome.y[0], atol=1e-11)
    np.testing.assert_allclose(outcome.dx[1].sum(axis=1), 0, atol=1e-13)


@pytest.mark.parametrize("size", [7.0, 50.0, 1e4])
def test_large_scores_stay_finite_and_differentiated(size: float) -> None:
    inputs = (size * Q, size * K, V, SEEN)
    laws.backward_is_the_derivative(ScaledDotProductAttention(), *inputs)
    outcome = laws.run(ScaledDotProductAttention(), *inputs)
    assert all(np.isfinite(array).all() for array in (*outcome.y, *outcome.dx[:3]))


def test_query_that_sees_no_key_gets_nothing_and_gives_nothing() -> None:
    outcome = laws.run(ScaledDotProductAttention(), Q, K, V, SEEN)
    assert not outcome.y[0][0, 2].any()
    assert not outcome.dx[0][0, 2].any()
    assert outcome.dx[3] is None
    nothing = laws.run(ScaledDotProductAttention(), Q, K, V, 0 * SEEN)
    assert not any(array.any() for array in (*nothing.y, *nothing.dx[:3]))


def test_what_is_masked_has_no_gradient() -> None:
    mask = np.array([[1, 0], [1, 0], [1, 0]])
    outcome = laws.run(ScaledDotProductAttention(), Q, K, V, mask)
    assert not outcome.dx[1][:, 1].any()
    assert not outcome.dx[2][:, 1].any()
    np.testing.assert_array_equal(outcome.y[0], np.repeat(V[:, :1], 3, axis=1))


# Planted mistakes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrongAttention(ScaledDotProductAttention):
    mistake: str = ""

    def forward(self, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        y, _ = super().forward(q, k, v, mask)
        return y, (q, k, v, mask)

    def backward(self, dy: Any, cache: Any) -> Any:
        dx = attention(*cache, dy, self.scale, self.is_causal, self.mistake)[1]
        return dx[: 3 if cache[3] is None else 4], {}


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        ("inner product forgotten", ["q", "k"]),
        ("scale forgotten", ["q", "k"]),
        ("mask forgotten", ["q", "v"]),
        ("values averaged", ["v"]),
    ],
)
def test_planted_mistake_is_named(mistake: str, named: list[str]) -> None:
    wrong = WrongAttention(mistake=mistake)
    report = check(wrong, x={"q": Q, "k": K, "v": V, "mask": SEEN}, checks=["gradient"], trusted=True)
    for name in named:
        laws.assert_caught(report, wrong, name)


def test_mistake_is_not_blamed_on_the_layer_behind_it() -> None:
    wrong = WrongAttention(is_causal=True, mistake="mask forgotten")
    report = check(wrong, Linear(2), x={"q": Q, "k": K, "v": V}, checks=["gradient"], trusted=True)
    laws.assert_caught(report, wrong)
    assert {finding.layer for finding in report.findings if finding.consequence_of is None} == {"wrong_attention_1"}


@pytest.mark.parametrize("case", ["causal", "mask with an empty row", "scores of each sample"])
def test_passes(case: str) -> None:
    layer, inputs = LAYERS[case]
    named = dict(zip("qkvm", inputs, strict=False))
    laws.assert_passes(check(layer, x=named, trusted=True, checks=ALL))
    laws.assert_no_false_alarm(check(layer, x=named, dtype="float32", checks=["gradient"], trusted=True))


SPEC = """
data:
  batch_size: 3
  inputs:
    x: {shape: [2, 2]}
    seen: {values: [[true, false], [true, true]], per_sample: false}
    shift: {shape: [2, 2], per_sample: false}
  targets: {shape: [2, 2]}
network:
  - scaled_dot_product_attention: {inputs: [x, x, x, seen]}
  - scaled_dot_product_attention: {inputs: [scaled_dot_product_attention_1, x, x, shift]}
loss: mse
"""


@pytest.mark.parametrize("method", ["auto", "central"])
def test_mask_of_all_samples_is_one_array_and_has_a_gradient_if_it_is_real(method: str) -> None:
    report = run_spec("attention.yaml", SPEC, Catalogue(), Overrides(method=method)).report
    laws.assert_passes(report)
    assert [row.name for row in report.rows] == ["x", "shift"]
    assert {check.check: check.verdict for check in report.checks}["per_sample"] == "pass"


# Options --------------------------------------------------------------------------------------------------------------

ALL_THREE = "needs query (N, ..., L, E), key (N, ..., S, E) and value (N, ..., S, Ev), got"
MASK = "needs a mask (L, S) or (N, ..., L, S), here (3, 5) or (2, 3, 5), with 1 for any of them; got"


@pytest.mark.parametrize(
    ("x_shapes", "message"),
    [
        ([(2, 3, 4)], "needs query, key and value, and perhaps a mask, got 1 inputs"),
        ([(2, 3, 4), (2, 5, 3), (2, 5, 4)], f"{ALL_THREE} (2, 3, 4), (2, 5, 3) and (2, 5, 4)"),
        ([(2, 3, 4), (2, 5, 4), (2, 6, 4)], f"{ALL_THREE} (2, 3, 4), (2, 5, 4) and (2, 6, 4)"),
        ([(2, 6, 3, 4), (2, 1, 5, 4), (2, 1, 5, 4)], f"{ALL_THREE} (2, 6, 3, 4), (2, 1, 5, 4) and (2, 1, 5, 4)"),
        ([(3, 4), (5, 4), (5, 4)], f"{ALL_THREE} (3, 4), (5, 4) and (5, 4)"),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 5)], f"{MASK} (2, 5)"),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 4), (5,)], f"{MASK} (5,)"),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 1, 3, 5)], f"{MASK} (2, 1, 3, 5)"),
    ],
)
def test_shape_is_refused(x_shapes: Any, message: str) -> None:
    laws.assert_refuses(ScaledDotProductAttention(), *x_shapes, message=message)


def test_options_of_a_spec() -> None:
    found = msgspec.convert({"is_causal": True, "scale": 0.5}, ScaledDotProductAttention)
    assert found == ScaledDotProductAttention(is_causal=True, scale=0.5)
