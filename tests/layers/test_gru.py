"""Gated recurrent unit."""

from __future__ import annotations

import numpy as np
from laws import normal, run
from recurrent_laws import RecurrentLaws

from gradcheck.layers.gru import Gru


class ResetGateForgotten(Gru):
    def _step_back(self, dh, cache):
        d_fed, d_kept, rest = super()._step_back(dh, cache)
        return d_fed, (*d_kept[:2], d_fed[2]), rest


class UpdateGateTheOtherWay(Gru):
    def _step_back(self, dh, cache):
        a_r, a_z, a_n, r, z, n, m, h = cache
        return super()._step_back(dh, (a_r, -a_z, a_n, r, 1 - z, n, m, h))


class OldStateForgotten(Gru):
    def _step_back(self, dh, cache):
        d_fed, d_kept, rest = super()._step_back(dh, cache)
        return d_fed, d_kept, (0 * rest[0],)


class GatesSwapped(Gru):
    def _step_back(self, dh, cache):
        (d_r, d_z, d_n), d_kept, rest = super()._step_back(dh, cache)
        return (d_z, d_r, d_n), d_kept, rest


X, SHORT = normal(2, 3, 2), normal(2, 2, 1)


def sigma(a):
    return 1 / (1 + np.exp(-a))


class TestLaws(RecurrentLaws):
    kind = Gru
    cases = (
        (Gru(1, return_state=True), (SHORT, normal(2, 1))),
        (Gru(1, 2, bias=False, bidirectional=True), (SHORT,)),
    )
    mistakes = (
        (ResetGateForgotten(1, bias=False), (SHORT,), ("weight_hn",)),
        (UpdateGateTheOtherWay(1, bias=False), (SHORT,), ("weight_in",)),
        (OldStateForgotten(1, bias=False), (SHORT,), ("input",)),
        (GatesSwapped(1, bias=False), (SHORT,), ("weight_ir", "weight_iz")),
    )
    refused = ((Gru(5), ((3, 0, 4),), "needs a sequence (N, T, features), got (3, 0, 4)"),)

    def step(self, layer, a_i, a_h, h):
        r, z = (sigma(a_i[k] + a_h[k]) for k in "rz")
        return ((1 - z) * np.tanh(a_i["n"] + r * a_h["n"]) + z * h,)


def test_saturated_gates_keep_their_tiny_gradients():
    """With a = 40 in every gate σ′ is e⁻⁴⁰: 1 − σ would be 0."""
    layer = Gru(1, bias=False)
    parameters = {f"weight_{side}{k}": np.full((1, 1), 40.0 * (side == "i")) for side in "ih" for k in "rzn"}
    outcome = run(layer, np.ones((1, 1, 1)), dy=(np.ones((1, 1, 1)),), **parameters)
    np.testing.assert_allclose(outcome.gradients["weight_iz"], -np.exp(-40), rtol=1e-14)
    np.testing.assert_allclose(outcome.gradients["weight_in"], 4 * np.exp(-120), rtol=1e-14)
