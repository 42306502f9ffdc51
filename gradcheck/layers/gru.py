"""Gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.layers._recurrent import Parts, Recurrent, States
from gradcheck.maths import sigmoid, tanh_slope


@dataclass(frozen=True)
class Gru(Recurrent):
    """Gated recurrent unit over a sequence, in several layers and both directions (Cho et al. 2014), as PyTorch has it.

    forward     aᵏ = Wᵢₖ x_t + bᵢₖ + Wₕₖ h_t₋₁ + bₕₖ            x (N, T, D)     k one of r, z, in the first line
                r, z = σ(aʳ, aᶻ)                                r, z, n, m, h_t (N, H)
                n = tanh(Wᵢₙ x_t + bᵢₙ + r m)                   Wᵢₖ (H, D)  Wₕₖ (H, H)  bᵢₖ, bₕₖ (H,)
                m = Wₕₙ h_t₋₁ + bₕₙ
                h_t = (1 − z) n + z h_t₋₁                       h₀ (N, H) given, or zeros
                y = all h_t                                     y (N, T, H)

    backward    from t = T to 1, with dh = dy_t + (z dh + Σₖ Wₕₖᵀ daᵏ)_t₊₁
                daⁿ = dh (1 − z) tanh′,  daʳ = daⁿ m σ′,  daᶻ = dh (h_t₋₁ − n) σ′,  dm = daⁿ r
                dx_t = Σₖ Wᵢₖᵀ daᵏ                              dx (N, T, D)
                dWᵢₖ = Σ daᵏ x_tᵀ,  dbᵢₖ = Σ daᵏ                summed over N and T
                dWₕₖ = Σ daᵏ h_t₋₁ᵀ,  dbₕₖ = Σ daᵏ              likewise; in these and in dh, daⁿ is dm
                dh₀ = dh before t = 1                           dh₀ (N, H)

    verified    torch.nn.GRU; obvious loops

    Two inputs are x and h₀. With `return_state` there are two outputs: y and h_T (N, H). With `bidirectional` a second
    recurrence with parameters of its own, `weight_ir_reverse` and so on, runs from T to 1, and y is (N, T, 2H). With
    `num_layers` L each layer takes the y of the one below it as its x; the parameters of the second are `weight_ir_l1`,
    `weight_ir_l1_reverse` and so on: PyTorch's names, without `_l0`. Then h₀ and h_T are (N, L, H), or (N, 2L, H) with
    both directions of a layer side by side. PyTorch stacks the blocks r, z, n of each weight; here each is a parameter
    of its own, so that a wrong gate is named: `weight_ir`, `weight_iz`, `weight_in`, `weight_hr`, ..., `bias_hn`. All
    are drawn uniformly from ±1/√H, PyTorch's default.
    """

    hidden_size: Annotated[int, Meta(ge=1)]
    num_layers: Annotated[int, Meta(ge=1)] = 1
    bias: bool = True
    bidirectional: bool = False
    return_state: bool = False

    gates = "rzn"

    def _step(self, fed: Parts, kept: Parts, before: States) -> tuple[States, Any]:
        """h_t = (1 − z) n + z h_t₋₁."""
        (h,), m = before, kept[2]
        a_r, a_z = fed[0] + kept[0], fed[1] + kept[1]
        r, z = sigmoid(a_r), sigmoid(a_z)
        a_n = fed[2] + r * m
        n = np.tanh(a_n)
        return (sigmoid(-a_z) * n + z * h,), (a_r, a_z, a_n, r, z, n, m, h)

    def _step_back(self, d_state: States, cache: Any) -> tuple[Parts, Parts, States]:
        """daʳ, daᶻ, daⁿ; the same with dm; z dh."""
        (dh,), (a_r, a_z, a_n, r, z, n, m, h) = d_state, cache
        da_n = dh * sigmoid(-a_z) * tanh_slope(a_n)
        da_r = da_n * m * r * sigmoid(-a_r)
        da_z = dh * (h - n) * z * sigmoid(-a_z)
        return (da_r, da_z, da_n), (da_r, da_z, da_n * r), (z * dh,)
