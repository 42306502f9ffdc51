"""Long short-term memory: a recurrence whose cell forgets, takes in and gives out through gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.layers._base import Array
from gradcheck.layers._recurrent import Parts, Recurrent, States
from gradcheck.maths import sigmoid, tanh_slope


@dataclass(frozen=True)
class Lstm(Recurrent):
    """Long short-term memory over a sequence (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    forward     h_t = o tanh c_t, c_t = f c_t₋₁ + i g   x (N, T, D)     y (N, T, H), all h_t
                i, f, o = σ(aⁱ, aᶠ, aᵒ),  g = tanh aᵍ   i, f, g, o, c_t, h_t (N, H)     h₀, c₀ (N, H) given, or zeros
                aᵏ = Wᵢₖ x_t + bᵢₖ + Wₕₖ h_t₋₁ + bₕₖ    k one of i, f, g, o;  Wᵢₖ (H, D)  Wₕₖ (H, H)  bᵢₖ, bₕₖ (H,)

    backward    from t = T to 1, with dh = dy_t + Σₖ Wₕₖᵀ daᵏ_t₊₁ and dc = dh o tanh′ c_t + (f dc)_t₊₁
                daⁱ = dc g σ′,  daᶠ = dc c_t₋₁ σ′,  daᵍ = dc i tanh′,  daᵒ = dh tanh(c_t) σ′
                dx_t = Σₖ Wᵢₖᵀ daᵏ                      dx (N, T, D)
                dWᵢₖ = Σ daᵏ x_tᵀ                       dWᵢₖ (H, D)     summed over N and T
                dWₕₖ = Σ daᵏ h_t₋₁ᵀ                     dWₕₖ (H, H)     summed over N and T
                dbᵢₖ = dbₕₖ = Σ daᵏ                     dbᵢₖ, dbₕₖ (H,) summed over N and T
                dh₀, dc₀ = dh, dc before t = 1          dh₀, dc₀ (N, H)

    verified    torch.nn.LSTM; obvious loops

    One input is x alone; three are x, h₀ and c₀. One output is y; with `return_state` there are three: y, h_T (N, H)
    and c_T (N, H), and a layer takes one of them as `lstm_1.0`, `lstm_1.1` or `lstm_1.2`. With `bidirectional` a second
    recurrence with parameters of its own, `weight_ii_reverse` and so on, runs from T to 1, and y is (N, T, 2H). With
    `num_layers` L each layer takes the y of the one below it as its x; the parameters of the second are `weight_ii_l1`,
    `weight_ii_l1_reverse` and so on: PyTorch's names, without `_l0`. Then h₀, c₀, h_T and c_T are (N, L, H), or
    (N, 2L, H) with both directions of a layer side by side. PyTorch stacks the four blocks of each weight in the order
    i, f, g, o; here each block is a parameter of its own, so that a wrong gate is named: `weight_ii`, `weight_if`,
    `weight_ig`, `weight_io`, `weight_hi`, ..., `bias_ho`. All are drawn uniformly from ±1/√H, PyTorch's default.
    """

    hidden_size: Annotated[int, Meta(ge=1)]
    num_layers: Annotated[int, Meta(ge=1)] = 1
    bias: bool = True
    bidirectional: bool = False
    return_state: bool = False

    gates = "ifgo"
    states = ("h0", "c0")

    def forward(
        self, x: Array, h0: Array | None = None, c0: Array | None = None, **parameters: Array
    ) -> tuple[Any, Any]:
        """All states, step by step and layer by layer."""
        return self._through(x, () if h0 is None or c0 is None else (h0, c0), parameters)

    def _step(self, fed: Parts, kept: Parts, before: States) -> tuple[States, Any]:
        """h_t = o tanh c_t, c_t = f c_t₋₁ + i g."""
        a = np.add(fed, kept)
        i, f, o = sigmoid(a[[0, 1, 3]])
        g = np.tanh(a[2])
        c = f * before[1] + i * g
        return (o * np.tanh(c), c), (a, (i, f, g, o), before[1], c)

    def _step_back(self, d_state: States, cache: Any) -> tuple[Parts, Parts, States]:
        """daⁱ, daᶠ, daᵍ, daᵒ, twice; nothing of h goes past them, and f dc of the cell."""
        (dh, dc), ((a_i, a_f, a_g, a_o), (i, f, g, o), c_before, c) = d_state, cache
        dc = dc + dh * o * tanh_slope(c)
        da = (
            dc * g * i * sigmoid(-a_i),
            dc * c_before * f * sigmoid(-a_f),
            dc * i * tanh_slope(a_g),
            dh * np.tanh(c) * o * sigmoid(-a_o),
        )
        return da, da, (np.zeros_like(dh), dc * f)
