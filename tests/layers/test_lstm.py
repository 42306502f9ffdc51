from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import check

from gradcheck.layers.linear import Linear
from gradcheck.layers.lstm import GATES, Lstm

X, H0, C0 = laws.normal(3, 4, 2), laws.normal(3, 5, seed=1), laws.normal(3, 5, seed=2)
LAYERS = {
    "sequence": (Lstm(5), (X,)),
    "sequence and state": (Lstm(5, return_state=True), (X,)),
    "state in and out": (Lstm(5, return_state=True), (X, H0, C0)),
    "state in, no bias": (Lstm(5, bias=False), (X, H0, C0)),
    "one step of one feature": (Lstm(1, return_state=True), (laws.normal(2, 1, 1),)),
}


# The obvious loops ----------------------------------------------------------------------------------------------------


def sigma(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def loops(
    layer: Lstm, x: Any, h0: Any, c0: Any, dy: Any, dh_n: Any, dc_n: Any, parameters: Any, mistake: str = ""
) -> Any:
    """One sample, one step and one gate after the other, with a mistake of choice in the way back."""
    p = {"bias_i" + k: 0.0 for k in GATES} | {"bias_h" + k: 0.0 for k in GATES} | parameters
    y, dx = np.zeros((*x.shape[:2], layer.hidden_size)), np.zeros(x.shape)
    h_n, c_n, dh0, dc0 = (np.zeros((len(x), layer.hidden_size)) for _ in range(4))
    gradients = {name: np.zeros(array.shape) for name, array in parameters.items()}
    for n in range(len(x)):
        h, c, kept = h0[n], c0[n], []
        for x_t in x[n]:
            a = {k: p["weight_i" + k] @ x_t + p["bias_i" + k] + p["weight_h" + k] @ h + p["bias_h" + k] for k in GATES}
            i, f, g, o = sigma(a["i"]), sigma(a["f"]), np.tanh(a["g"]), sigma(a["o"])
            kept.append((i, f, g, o, h, c, f * c + i * g))
            c = kept[-1][-1]
            h = o * np.tanh(c)
            y[n, len(kept) - 1] = h
        h_n[n], c_n[n] = h, c
        dh, dc = dh_n[n], dc_n[n]
        if mistake == "state has no gradient":
            dh, dc = 0 * dh, 0 * dc
        for t in reversed(range(len(kept))):
            i, f, g, o, h, c, c_t = kept[t]
            tanh = np.tanh(c_t)
            dh = dh + dy[n, t]
            dc = dc + dh * o * (1 if mistake == "tanh of the cell without slope" else 1 - tanh**2)
            da = {
                "i": dc * g * i * (1 - i),
                "f": dc * c * (1 if mistake == "forget gate without slope" else f * (1 - f)),
                "g": dc * i * (1 - g**2),
                "o": dh * (o if mistake == "output gate multiplied by itself" else tanh) * o * (1 - o),
            }
            if mistake == "input and forget gate swapped":
                da["i"], da["f"] = da["f"], da["i"]
            for k in GATES:
                dx[n, t] += p["weight_i" + k].T @ da[k]
                found = {
                    "weight_i": np.outer(da[k], x[n, t]),
                    "weight_h": np.outer(da[k], y[n, t] if mistake == "state of this step" else h),
                    "bias_i": da[k],
                    "bias_h": da[k],
                }
                for name, gradient in found.items():
                    if layer.bias or not name.startswith("bias"):
                        gradients[name + k] += gradient
            dh = sum(p["weight_h" + k].T @ da[k] for k in GATES)
            dc = dc if mistake == "cell not scaled by the forget gate" else dc * f
            if mistake in ("last step only", "hidden state detached"):
                dh = 0 * dh
            if mistake in ("last step only", "cell detached"):
                dc = 0 * dc
        dh0[n], dc0[n] = dh, dc
    if mistake == "first step forgotten":
        dx[:, 0] = 0
    if mistake == "recurrent bias forgotten":
        gradients = {name: gradient for name, gradient in gradients.items() if not name.startswith("bias_h")}
    return (y, h_n, c_n), (dx, dh0, dc0), gradients


def zeros(layer: Lstm, x: Any) -> Any:
    return np.zeros((len(x), layer.hidden_size))


def reference(layer: Lstm) -> Any:
    def says(x: Any, *others: Any, **parameters: Any) -> Any:
        zero = zeros(layer, x)
        given = others[: -3 if layer.return_state else -1]
        upstream = others[len(given) :] if layer.return_state else (others[-1], zero, zero)
        outputs, dx, gradients = loops(layer, x, *(given or (zero, zero)), *upstream, parameters)
        return outputs if layer.return_state else outputs[0], dx if given else dx[0], gradients

    return says


@pytest.mark.parametrize(("layer", "inputs"), LAYERS.values(), ids=LAYERS)
def test_says_what_loops_say(layer: Lstm, inputs: Any) -> None:
    laws.assert_matches_reference(layer, reference(layer), *inputs, **laws.drawn(layer, *inputs))


# PyTorch --------------------------------------------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(10))
def test_says_what_torch_says(seed: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(seed)
    n, t, d, size = (int(k) for k in rng.integers(1, 6, 4))
    layer = Lstm(size, bias=bool(seed % 2), return_state=bool(seed // 2 % 2))
    states = (rng.standard_normal((n, size)), rng.standard_normal((n, size))) if seed // 4 % 2 else ()
    inputs = (rng.standard_normal((n, t, d)), *states)

    def function(x: Any, h0: Any = None, c0: Any = None, **parameters: Any) -> Any:
        own = torch.nn.LSTM(d, size, bias=layer.bias, batch_first=True, dtype=torch.float64)
        kinds = ("weight_i", "weight_h", "bias_i", "bias_h")[: 4 if layer.bias else 2]
        stacked = {f"{kind}h_l0": torch.cat([parameters[kind + k] for k in "ifgo"]) for kind in kinds}
        state = None if h0 is None else (h0[None], c0[None])
        y, (h_n, c_n) = torch.func.functional_call(own, stacked, (x, state))
        return (y, h_n[0], c_n[0]) if layer.return_state else y

    laws.assert_matches_torch(layer, function, *inputs, **laws.drawn(layer, *inputs, seed=seed))


# Laws -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", laws.ALL, ids=laws.name)
@pytest.mark.parametrize(("layer", "inputs"), LAYERS.values(), ids=LAYERS)
def test_law(layer: Lstm, inputs: Any, law: laws.Law) -> None:
    law(layer, *inputs, **laws.drawn(layer, *inputs))


options = st.builds(Lstm, st.integers(1, 2), st.booleans(), st.booleans())


@laws.few
@given(options, st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.booleans(), st.integers(0, 99))
def test_any_options_are_differentiated(layer: Lstm, n: int, t: int, d: int, has_state: bool, seed: int) -> None:
    states = [laws.normal(n, layer.hidden_size, seed=seed + k) for k in (1, 2)] if has_state else []
    inputs = (laws.normal(n, t, d, seed=seed), *states)
    parameters = laws.drawn(layer, *inputs, seed=seed)
    laws.backward_is_the_derivative(layer, *inputs, **parameters)


@laws.few
@given(st.integers(1, 3), st.integers(0, 99))
def test_a_sequence_is_its_first_part_and_then_the_rest(cut: int, seed: int) -> None:
    """The state that one part returns is all that the next one needs."""
    layer, x = Lstm(3, return_state=True), laws.normal(2, 4, 2, seed=seed)
    parameters = laws.drawn(layer, x, seed=seed)
    whole = laws.outputs(layer, x, **parameters)
    first, *state = laws.outputs(layer, x[:, :cut], **parameters)
    rest, *last = laws.outputs(layer, x[:, cut:], *state, **parameters)
    laws.close(np.concatenate([first, rest], axis=1), whole[0], "the sequence", rtol=1e-14)
    for part, name in enumerate(("h", "c")):
        laws.close(last[part], whole[1 + part], f"the last {name}", rtol=1e-14)


def test_no_step_sees_a_later_one() -> None:
    layer, x = Lstm(3), laws.normal(2, 4, 2)
    parameters = laws.drawn(layer, x)
    outcome = laws.run(layer, x, dy=(np.eye(4)[1][:, None] * np.ones((2, 4, 3)),), **parameters)
    assert not outcome.dx[0][:, 2:].any()
    assert outcome.dx[0][:, :2].all()


@pytest.mark.parametrize("size", [50.0, 1000.0])
def test_large_numbers_stay_finite_and_differentiated(size: float) -> None:
    layer, inputs = Lstm(2, return_state=True), (size * laws.normal(2, 3, 2), *[size * laws.normal(2, 2)] * 2)
    parameters = laws.drawn(layer, *inputs)
    laws.backward_is_the_derivative(layer, *inputs, **parameters)
    outcome = laws.run(layer, *inputs, **parameters)
    assert all(np.isfinite(array).all() for array in (*outcome.y, *outcome.dx, *outcome.gradients.values()))


def test_saturated_gates_keep_their_tiny_gradients() -> None:
    """With a = 40 in every gate, σ′ is e⁻⁴⁰ and tanh′ 4 e⁻⁸⁰: 1 − σ and 1 − tanh² would both be 0."""
    layer, x = Lstm(1, bias=False), np.ones((1, 1, 1))
    parameters = {name: np.full((1, 1), 40.0) for name in laws.drawn(layer, x)}
    outcome = laws.run(layer, x, dy=(np.ones((1, 1, 1)),), **parameters)
    into_cell = 1 - np.tanh(1) ** 2
    expected = {
        "weight_ii": into_cell * np.exp(-40), "weight_if": 0.0,
        "weight_ig": into_cell * 4 * np.exp(-80), "weight_io": np.tanh(1) * np.exp(-40),
    }  # fmt: skip
    for name, value in expected.items():
        np.testing.assert_allclose(outcome.gradients[name], value, rtol=1e-14)


# Planted mistakes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrongLstm(Lstm):
    mistake: str = ""

    def backward(self, dy: Any, cache: Any) -> Any:
        x, _, _, h, c, *_ = cache
        upstream = dy if self.return_state else (dy, zeros(self, x), zeros(self, x))
        _, dx, gradients = loops(self, x, h[0], c[0], *upstream, drawn(self), self.mistake)
        return dx if self.return_state else dx[0], gradients


def drawn(layer: Lstm) -> Any:
    return laws.drawn(layer, laws.normal(2, 3, 1))


def wrong_case(mistake: str, **options: Any) -> Any:
    """The layer, and its parameters by full name."""
    wrong = WrongLstm(2, mistake=mistake, **options)
    return wrong, {f"wrong_lstm_1.{name}": array for name, array in drawn(wrong).items()}


MISTAKES = {
    "forget gate without slope": ["weight_if", "weight_hf"],
    "last step only": ["weight_ii", "input"],
    "input and forget gate swapped": ["weight_ii", "weight_if"],
}


@pytest.mark.parametrize(("mistake", "named"), MISTAKES.items(), ids=MISTAKES)
def test_planted_mistake_is_named(mistake: str, named: list[str]) -> None:
    wrong, parameters = wrong_case(mistake, bias=False)
    report = check(wrong, x=laws.normal(2, 2, 1), parameters=parameters, checks=["gradient"], trusted=True)
    for parameter in named:
        laws.assert_caught(report, wrong, parameter)


@pytest.mark.parametrize(
    "mistake",
    [
        "state of this step",
        "output gate multiplied by itself", "tanh of the cell without slope", "hidden state detached", "cell detached",
        "cell not scaled by the forget gate", "first step forgotten", "recurrent bias forgotten",
        "state has no gradient",
    ],
)  # fmt: skip
def test_planted_mistake_breaks_the_law(mistake: str) -> None:
    wrong, _ = wrong_case(mistake, return_state=True)
    with pytest.raises(AssertionError, match=r"the gradient of|name different parameters"):
        laws.backward_is_the_derivative(wrong, laws.normal(2, 3, 1), **drawn(wrong))


def test_state_without_a_gradient_is_named() -> None:
    wrong, parameters = wrong_case("cell detached", return_state=True, bias=False)
    inputs = {"x": laws.normal(2, 2, 1), "h0": laws.normal(2, 2, seed=1), "c0": laws.normal(2, 2, seed=2)}
    report = check(wrong, x=inputs, parameters=parameters, checks=["gradient"], trusted=True)
    laws.assert_caught(report, wrong, "c0")


def test_mistake_is_not_blamed_on_the_layers_around_it() -> None:
    wrong, parameters = wrong_case("last step only", bias=False)
    report = check(
        Linear(1), wrong, Linear(2), x=laws.normal(2, 2, 1), parameters=parameters, checks=["gradient"], trusted=True
    )
    laws.assert_caught(report, wrong)
    assert {finding.layer for finding in report.findings if finding.consequence_of is None} == {"wrong_lstm_1"}


@pytest.mark.parametrize("has_state", [False, True])
def test_passes(has_state: bool) -> None:
    layer, inputs = Lstm(2, return_state=has_state), {"x": laws.normal(3, 2, 1)}
    inputs |= {"h0": H0[:, :2], "c0": C0[:, :2]} if has_state else {}
    laws.assert_passes(check(layer, x=inputs, trusted=True))
    laws.assert_no_false_alarm(check(layer, x=inputs, dtype="float32", checks=["gradient"], trusted=True))


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x_shapes", "message"),
    [
        ([(3, 4)], "needs a sequence (N, T, features), got (3, 4)"),
        ([(3, 0, 4)], "needs a sequence (N, T, features), got (3, 0, 4)"),
        ([(3, 4, 2), (3, 5)], "needs a sequence alone or with h0 and c0, got 2 inputs"),
        ([(3, 4, 2), (3, 4), (3, 5)], "needs h0 (N, hidden_size) = (3, 5), got (3, 4)"),
        ([(3, 4, 2), (3, 5), (3, 1, 5)], "needs c0 (N, hidden_size) = (3, 5), got (3, 1, 5)"),
    ],
)
def test_shape_is_refused(x_shapes: Any, message: str) -> None:
    laws.assert_refuses(Lstm(5), *x_shapes, message=message)


def test_parameters_are_the_blocks_of_torch() -> None:
    drawn = Lstm(25).init(np.random.default_rng(0), (8, 3, 100))
    blocks = {"weight_i": (25, 100), "weight_h": (25, 25), "bias_i": (25,), "bias_h": (25,)}
    assert {name: array.shape for name, array in drawn.items()} == {
        kind + gate: shape for kind, shape in blocks.items() for gate in "ifgo"
    }
    assert 0.19 < np.abs(drawn["weight_if"]).max() <= 0.2
    assert Lstm(5, bias=False).init(np.random.default_rng(0), (8, 3, 2)).keys() == {
        f"weight_{j}{k}" for j in "ih" for k in "ifgo"
    }


def test_options_of_a_spec() -> None:
    assert msgspec.convert({"hidden_size": 3, "bias": False}, Lstm) == Lstm(3, bias=False)
