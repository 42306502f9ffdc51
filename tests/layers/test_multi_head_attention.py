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
from layer_laws import entries
from support import ALL, check

from gradcheck.layers.linear import Linear
from gradcheck.layers.multi_head_attention import MultiHeadAttention


class KeyBiasGiven(MultiHeadAttention):
    """The bias of the keys as a constant: its true gradient is zero, and a relative comparison says nothing there."""

    def init(self, rng: Any, *x_shapes: Any) -> Any:
        return {name: array for name, array in super().init(rng, *x_shapes).items() if name != "k_proj_bias"}

    def constants(self, rng: Any, *x_shapes: Any) -> Any:
        return {"k_proj_bias": laws.normal(self._embed_dim(x_shapes[0]))} if self.bias else {}

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {name: gradient for name, gradient in gradients.items() if name != "k_proj_bias"}


X, K, V = laws.normal(2, 3, 4), laws.normal(2, 2, 3, seed=1), laws.normal(2, 2, 2, seed=2)
SEEN = np.array([[[1, 1], [0, 1], [0, 0]], [[1, 0], [1, 1], [0, 1]]])
LAYERS = {
    "self-attention": (KeyBiasGiven(2), (X,)),
    "causal": (KeyBiasGiven(4, is_causal=True), (X,)),
    "other keys and values": (KeyBiasGiven(2, embed_dim=6), (X, K, V)),
    "mask with an empty row": (KeyBiasGiven(2, bias=False), (X, K, V, SEEN)),
    "scores of each head": (KeyBiasGiven(2), (X, K, V, laws.normal(2, 2, 3, 2))),
    "scores of each sample": (KeyBiasGiven(1), (X, K, V, laws.normal(2, 3, 2))),
}


# References -----------------------------------------------------------------------------------------------------------


def loops(layer: MultiHeadAttention, inputs: Any, dy: Any, parameters: Any, mistake: str = "") -> Any:
    """Head by head: the rows of each weight that belong to it, attention, and its columns of the last weight."""
    x = [inputs[0]] * 3 if len(inputs) == 1 else inputs[:3]
    p = {f"{name}_bias": 0.0 for name in ("q_proj", "k_proj", "v_proj", "out_proj")} | parameters
    mask = inputs[3] if len(inputs) == 4 else None
    size = len(p["q_proj_weight"]) // layer.num_heads
    y, dx = np.zeros(dy.shape) + p["out_proj_bias"], [np.zeros(each.shape) for each in x]
    gradients = {name: np.zeros(array.shape) for name, array in parameters.items()}
    d_mask = np.zeros(np.shape(mask))
    for h in range(layer.num_heads):
        rows = slice(h * size, (h + 1) * size)
        projected = [
            each @ p[f"{name}_proj_weight"][rows].T
            + np.zeros(size)
            + np.broadcast_to(p[f"{name}_proj_bias"], len(p["q_proj_weight"]))[rows]
            for name, each in zip("qkv", x, strict=True)
        ]
        own = mask[:, h] if mask is not None and mask.ndim == 4 else mask
        back = slice((h + 1) % layer.num_heads * size, ((h + 1) % layer.num_heads + 1) * size)
        out = p["out_proj_weight"][:, back if mistake == "heads mixed up" else rows]
        heads, grads = attention(*projected, own, dy @ out, is_causal=layer.is_causal, mistake=mistake)
        y += heads @ p["out_proj_weight"][:, rows].T
        gradients["out_proj_weight"][:, rows] += np.einsum("nlo,nle->oe", dy, heads)
        for k, name in enumerate("qkv"):
            dx[k] += grads[k] @ p[f"{name}_proj_weight"][rows]
            gradients[f"{name}_proj_weight"][rows] += np.einsum("nle,nlf->ef", grads[k], x[k])
            if layer.bias and f"{name}_proj_bias" in gradients:
                gradients[f"{name}_proj_bias"][rows] += grads[k].sum(axis=(0, 1))
        if grads[3] is not None:
            d_mask[(slice(None), h) if mask.ndim == 4 else ...] += grads[3]
    if layer.bias:
        gradients["out_proj_bias"] = (
            dy[:, -1].sum(axis=0) if mistake == "bias of the last place" else dy.sum(axis=(0, 1))
        )
    if len(inputs) == 1:
        return y, dx[0] if mistake == "gradient of the query alone" else sum(dx), gradients
    return y, (*dx, d_mask if mask is not None and mask.dtype.kind == "f" else None)[: len(inputs)], gradients


@pytest.mark.parametrize(("layer", "inputs"), LAYERS.values(), ids=LAYERS)
def test_says_what_loops_say(layer: KeyBiasGiven, inputs: Any) -> None:
    def reference(*arrays: Any, **parameters: Any) -> Any:
        y, dx, gradients = loops(layer, arrays[:-1], arrays[-1], parameters)
        return y, dx, {name: gradient for name, gradient in gradients.items() if name != "k_proj_bias"}

    laws.assert_matches_reference(layer, reference, *inputs, **laws.drawn(layer, *inputs))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, inputs in LAYERS.values():
        laws.hold(layer, *inputs)


@laws.few
@given(
    st.integers(1, 2), st.integers(1, 2), st.booleans(), st.booleans(), st.sampled_from([1, 3, 4]), st.integers(0, 99)
)
def test_any_options_are_differentiated(
    heads: int, size: int, bias: bool, is_causal: bool, count: int, seed: int
) -> None:
    layer = KeyBiasGiven(heads, heads * size, bias, is_causal)
    inputs = (X[:, :, :2], K[:, :, :1], V, SEEN if seed % 2 else laws.normal(2, 3, 2))[:count]
    laws.backward_is_the_derivative(layer, *inputs, **laws.drawn(layer, *inputs, seed=seed))


@laws.few
@given(st.permutations(range(3)), st.integers(0, 99))
def test_keys_have_no_order(order: list[int], seed: int) -> None:
    layer, q, k = MultiHeadAttention(2), laws.normal(2, 2, 4, seed=seed), laws.normal(2, 3, 4, seed=seed + 1)
    parameters = laws.drawn(layer, q, k, k)
    outcome, other = laws.run(layer, q, k, k, **parameters), laws.run(layer, q, k[:, order], k[:, order], **parameters)
    laws.close(other.y[0], outcome.y[0], "the output", rtol=1e-13)
    laws.close(other.dx[2], outcome.dx[2][:, order], "the gradient of the values", rtol=1e-13)


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_large_numbers_stay_finite_and_differentiated(size: float) -> None:
    layer, x = KeyBiasGiven(2), size * X
    parameters = laws.drawn(layer, x)
    laws.backward_is_the_derivative(layer, x, **parameters)
    outcome = laws.run(layer, x, **parameters)
    assert all(np.isfinite(array).all() for array in (*outcome.y, *outcome.dx, *outcome.gradients.values()))


def test_bias_of_the_keys_has_no_gradient_and_the_report_says_so() -> None:
    layer = MultiHeadAttention(2)
    gradients = laws.run(layer, X, **laws.drawn(layer, X)).gradients
    assert np.abs(gradients["k_proj_bias"]).max() < 1e-14 * np.abs(gradients["q_proj_bias"]).max()
    for dtype in ("float64", "float32"):
        report = check(layer, x=X[:, :, :2], dtype=dtype, checks=["gradient", "vacuity"])
        laws.assert_no_false_alarm(report)
        (note,) = report.findings
        assert (note.code, note.severity, note.parameter) == ("GC601", "note", "multi_head_attention_1.k_proj_bias")


# Planted mistakes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrongHeads(MultiHeadAttention):
    mistake: str = ""

    def forward(self, *inputs: Any, **parameters: Any) -> Any:
        y, _ = super().forward(*inputs, **parameters)
        return y, (inputs, parameters)

    def backward(self, dy: Any, cache: Any) -> Any:
        inputs, parameters = cache
        return loops(self, inputs, dy, parameters, self.mistake)[1:]


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        ("heads mixed up", ["q_proj_weight", "v_proj_weight", "input"]),
        ("scale forgotten", ["q_proj_weight", "k_proj_weight"]),
        ("inner product forgotten", ["q_proj_weight"]),
        ("mask forgotten", ["v_proj_weight"]),
        ("gradient of the query alone", ["input"]),
        ("bias of the last place", ["out_proj_bias"]),
    ],
)
def test_planted_mistake_is_named(mistake: str, named: list[str]) -> None:
    wrong = WrongHeads(2, bias=mistake.startswith("bias"), is_causal=mistake.startswith("mask"), mistake=mistake)
    x = laws.normal(2, 2, 4)
    report = check(wrong, x=x, checks=["gradient"], trusted=True, entries=entries(wrong, [x], named))
    for parameter in named:
        laws.assert_caught(report, wrong, parameter)


def test_mistake_is_not_blamed_on_the_layers_around_it() -> None:
    wrong = WrongHeads(2, bias=False, mistake="heads mixed up")
    report = check(Linear(2), wrong, Linear(1), x=laws.normal(2, 2, 2), checks=["gradient"], trusted=True)
    laws.assert_caught(report, wrong)
    assert {finding.layer for finding in report.findings if finding.consequence_of is None} == {"wrong_heads_1"}


def test_passes() -> None:
    inputs = {"q": X[:, :, :2], "k": K, "v": V, "mask": SEEN}
    laws.assert_passes(check(MultiHeadAttention(2, bias=False), x=inputs, trusted=True, checks=ALL))
    laws.assert_no_false_alarm(
        check(MultiHeadAttention(2, bias=False), x=inputs, dtype="float32", checks=["gradient"], trusted=True)
    )


# Options --------------------------------------------------------------------------------------------------------------

MASK = "needs a mask (L, S), (N, L, S) or (N, num_heads, L, S), here (3, 5) or"


@pytest.mark.parametrize(
    ("layer", "x_shapes", "message"),
    [
        (MultiHeadAttention(2), [(2, 4)], "needs a sequence (N, L, features), got (2, 4)"),
        (
            MultiHeadAttention(2),
            [(2, 3, 4), (2, 3, 4)],
            "needs one sequence, or query, key and value, and perhaps a mask, got 2 inputs",
        ),
        (
            MultiHeadAttention(2),
            [(2, 3, 4), (2, 5, 4), (2, 6, 4)],
            "needs query (N, L, features), key and value (N, S, features), got (2, 3, 4), (2, 5, 4) and (2, 6, 4)",
        ),
        (MultiHeadAttention(3), [(2, 3, 4)], "needs embed_dim divisible by num_heads=3, got 4"),
        (MultiHeadAttention(2, embed_dim=5), [(2, 3, 4)], "needs embed_dim divisible by num_heads=2, got 5"),
        (
            MultiHeadAttention(2),
            [(2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 5)],
            f"{MASK} (2, 3, 5), with 1 for any of them; got (2, 5)",
        ),
        (
            MultiHeadAttention(2),
            [(2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 3, 3, 5)],
            f"{MASK} (2, 2, 3, 5), with 1 for any of them; got (2, 3, 3, 5)",
        ),
    ],
)
def test_shape_is_refused(layer: MultiHeadAttention, x_shapes: Any, message: str) -> None:
    laws.assert_refuses(layer, *x_shapes, message=message)


def test_parameters_are_those_of_torch() -> None:
    drawn = MultiHeadAttention(5).init(np.random.default_rng(0), (8, 3, 50), (8, 2, 100), (8, 2, 30))
    shapes = {"q_proj": (50, 50), "k_proj": (50, 100), "v_proj": (50, 30), "out_proj": (50, 50)}
    expected = {f"{name}_weight": shape for name, shape in shapes.items()} | {f"{name}_bias": (50,) for name in shapes}
    assert {name: array.shape for name, array in drawn.items()} == expected
    assert 0.19 < np.abs(drawn["k_proj_weight"]).max() <= 0.2
    assert drawn["k_proj_bias"].all()


def test_options_of_a_spec() -> None:
    assert msgspec.convert({"num_heads": 2, "embed_dim": 4}, MultiHeadAttention) == MultiHeadAttention(2, 4)
