"""Long short-term memory."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from laws import assert_caught, backward_is_the_derivative, drawn, normal, run
from recurrent_laws import RecurrentLaws
from support import check

from gradcheck.layers.linear import Linear
from gradcheck.layers.lstm import Lstm


class ForgetGateWithoutSlope(Lstm):
    def _step_back(self, d_state, cache):
        (d_i, d_f, d_g, d_o), _, rest = super()._step_back(d_state, cache)
        _, (_, f, _, _), *_ = cache
        da = (d_i, d_f / (f * (1 - f)), d_g, d_o)
        return da, da, rest


class GatesSwapped(Lstm):
    def _step_back(self, d_state, cache):
        (d_i, d_f, d_g, d_o), _, rest = super()._step_back(d_state, cache)
        return (d_f, d_i, d_g, d_o), (d_f, d_i, d_g, d_o), rest


class OutputGateTimesItself(Lstm):
    def _step_back(self, d_state, cache):
        _, (_, _, _, o), _, c = cache
        (*others, d_o), _, rest = super()._step_back(d_state, cache)
        da = (*others, d_o * o / np.tanh(c))
        return da, da, rest


class CellWithoutSlope(Lstm):
    def _step_back(self, d_state, cache):
        (dh, dc), (_, (_, _, _, o), _, c) = d_state, cache
        return super()._step_back((dh, dc + dh * o * np.tanh(c) ** 2), cache)


class CellDetached(Lstm):
    def _step_back(self, d_state, cache):
        d_fed, d_kept, (dh, dc) = super()._step_back(d_state, cache)
        return d_fed, d_kept, (dh, 0 * dc)


class CellNotForgotten(Lstm):
    def _step_back(self, d_state, cache):
        _, (_, f, _, _), *_ = cache
        d_fed, d_kept, (dh, dc) = super()._step_back(d_state, cache)
        return d_fed, d_kept, (dh, dc / f)


class HiddenStateDetached(Lstm):
    def _back_along(self, dy, d_end, run):
        *rest, U = run
        return super()._back_along(dy, d_end, (*rest, 0 * U))


class LastStateWithoutGradient(Lstm):
    def backward(self, dy, cache):
        return super().backward((dy[0], 0 * dy[1], 0 * dy[2]), cache)


class RecurrentBiasForgotten(Lstm):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {name: 0 * gradient if name == "bias_hf" else gradient for name, gradient in gradients.items()}


class LayersBySums(Lstm):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {name: gradients[name.replace("_l1", "")] if "hf" in name else gradients[name] for name in gradients}


SHORT, STATES = 2 * normal(2, 2, 1), (normal(2, 1, seed=1), normal(2, 1, seed=2))


def sigma(a):
    return 1 / (1 + np.exp(-a))


class TestLaws(RecurrentLaws):
    kind = Lstm
    cases = (
        (Lstm(1, return_state=True), (SHORT, *STATES)),
        (Lstm(1, 2, bias=False, bidirectional=True), (SHORT,)),
    )
    mistakes = (
        (ForgetGateWithoutSlope(1, bias=False), (SHORT,), ("weight_if", "weight_hf")),
        (GatesSwapped(1, bias=False), (SHORT,), ("weight_ii", "weight_if")),
        (LayersBySums(1, 2, bias=False), (SHORT[:1],), ("weight_hf_l1",)),
    )
    refused = (
        (Lstm(5), ((3, 4),), "needs a sequence (N, T, features), got (3, 4)"),
        (Lstm(5), ((3, 0, 4),), "needs a sequence (N, T, features), got (3, 0, 4)"),
        (Lstm(5), ((3, 4, 2), (3, 5)), "needs a sequence alone or with h0 and c0, got 2 inputs"),
        (Lstm(5), ((3, 4, 2), (3, 4), (3, 5)), "needs h0 (N, hidden_size) = (3, 5), got (3, 4)"),
        (Lstm(5), ((3, 4, 2), (3, 5), (3, 1, 5)), "needs c0 (N, hidden_size) = (3, 5), got (3, 1, 5)"),
        (
            Lstm(5, 2, bidirectional=True),
            ((3, 4, 2), (3, 5), (3, 5)),
            "needs h0 (N, 4, hidden_size) = (3, 4, 5), got (3, 5)",
        ),
    )

    def step(self, layer, a_i, a_h, h, c):
        i, f, o = (sigma(a_i[k] + a_h[k]) for k in "ifo")
        c = f * c + i * np.tanh(a_i["g"] + a_h["g"])
        return o * np.tanh(c), c


@pytest.mark.parametrize(
    "wrong",
    [
        OutputGateTimesItself, CellWithoutSlope, CellDetached, CellNotForgotten, LastStateWithoutGradient,
        RecurrentBiasForgotten,
    ],
)  # fmt: skip
def test_planted_mistake_breaks_the_law(wrong):
    layer = wrong(1, return_state=True)
    with pytest.raises(AssertionError, match="the gradient of"):
        backward_is_the_derivative(layer, SHORT, **drawn(layer, SHORT))


def test_saturated_gates_keep_their_tiny_gradients():
    """With a = 40 in every gate, σ′ is e⁻⁴⁰ and tanh′ 4 e⁻⁸⁰: 1 − σ and 1 − tanh² would both be 0."""
    layer, x = Lstm(1, bias=False), np.ones((1, 1, 1))
    parameters = {name: np.full((1, 1), 40.0) for name in drawn(layer, x)}
    outcome = run(layer, x, dy=(np.ones((1, 1, 1)),), **parameters)
    into_cell = 1 - np.tanh(1) ** 2
    expected = {
        "weight_ii": into_cell * np.exp(-40), "weight_if": 0.0,
        "weight_ig": into_cell * 4 * np.exp(-80), "weight_io": np.tanh(1) * np.exp(-40),
    }  # fmt: skip
    for name, value in expected.items():
        np.testing.assert_allclose(outcome.gradients[name], value, rtol=1e-14)


def test_mistake_is_not_blamed_on_the_layers_around_it():
    wrong = HiddenStateDetached(1, bias=False)
    report = check(Linear(1), wrong, Linear(2), x=SHORT, checks=["gradient"], trusted=True)
    assert_caught(report, wrong)
    assert {finding.layer for finding in report.findings if finding.consequence_of is None} == {
        "hidden_state_detached_1"
    }


def test_options_of_a_spec():
    given = {"hidden_size": 3, "num_layers": 2, "bias": False, "bidirectional": True}
    assert msgspec.convert(given, Lstm) == Lstm(3, 2, bias=False, bidirectional=True)
