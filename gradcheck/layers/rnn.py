"""Plain recurrence (Elman 1990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from gradcheck.layers._base import Array
from gradcheck.layers._recurrent import Parts, Recurrent, States
from gradcheck.maths import side, tanh_slope


@dataclass(frozen=True)
class Rnn(Recurrent):
    """Plain recurrence over a sequence, in several layers and both directions (Elman 1990, Finding Structure in Time).

    forward     a_t = Wᵢ x_t + bᵢ + Wₕ h_t₋₁ + bₕ       x (N, T, D)     weight_ih Wᵢ (H, D)  weight_hh Wₕ (H, H)
                h_t = f(a_t)                            a_t, h_t (N, H) bias_ih bᵢ, bias_hh bₕ (H,)
                y = all h_t                             y (N, T, H)     h₀ (N, H) given, or zeros;  f tanh or relu

    backward    from t = T to 1, with dh = dy_t + Wₕᵀ da_t₊₁
                da = dh f′(a_t)                         da (N, H)
                dx_t = Wᵢᵀ da                           dx (N, T, D)
                dWᵢ = Σ da x_tᵀ                         dWᵢ (H, D)      summed over N and T
                dWₕ = Σ da h_t₋₁ᵀ                       dWₕ (H, H)      likewise
                dbᵢ = dbₕ = Σ da                        dbᵢ, dbₕ (H,)   likewise
                dh₀ = Wₕᵀ da of t = 1                   dh₀ (N, H)

    verified    torch.nn.RNN; obvious loops

    Two inputs are x and h₀. With `return_state` there are two outputs: y and h_T (N, H). With `bidirectional` a second
    recurrence with parameters of its own, `weight_ih_reverse` and so on, runs from T to 1, and y is (N, T, 2H). With
    `num_layers` L each layer takes the y of the one below it as its x; the parameters of the second are `weight_ih_l1`,
    `weight_ih_l1_reverse` and so on: PyTorch's names, without `_l0`. Then h₀ and h_T are (N, L, H), or (N, 2L, H) with
    both directions of a layer side by side. All parameters are drawn uniformly from ±1/√H, PyTorch's default. With relu
    there is no derivative at a = 0; backward says 0 there.
    """

    hidden_size: Annotated[int, Meta(ge=1)]
    num_layers: Annotated[int, Meta(ge=1)] = 1
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    bias: bool = True
    bidirectional: bool = False
    return_state: bool = False

    gates = "h"
    chained = True

    def branches(self, x: Array, h0: Array | None = None, **parameters: Array) -> Array | None:
        """With relu: 1 where a > 0, 0 where a < 0, -1 where a = 0, for every step, layer and direction: (N, T, H)."""
        if self.nonlinearity == "tanh":
            return None
        _, (runs, _) = self.forward(x, h0, **parameters)
        return np.concatenate([side(np.stack(caches, axis=1)) for _, caches, *_ in runs], axis=2).astype(int)

    def _step(self, fed: Parts, kept: Parts, before: States) -> tuple[States, Any]:
        """h_t = f(a_t)."""
        a = fed[0] + kept[0]
        return (np.tanh(a) if self.nonlinearity == "tanh" else np.where(a.real <= 0, 0, a),), a

    def _step_back(self, d_state: States, cache: Any) -> tuple[Parts, Parts, States]:
        """da = dh f′(a_t), twice; nothing of the state goes past a."""
        (dh,), a = d_state, cache
        da = dh * tanh_slope(a) if self.nonlinearity == "tanh" else np.where(a <= 0, 0, dh)
        return (da,), (da,), (np.zeros_like(da),)
