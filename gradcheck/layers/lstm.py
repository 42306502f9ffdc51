"""Long short-term memory: a recurrence whose cell forgets, takes in and gives out through gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.maths import sigmoid, tanh_slope

#: PyTorch's letters and order: input gate, forget gate, new content of the cell, output gate.
GATES = "ifgo"


@dataclass(frozen=True)
class Lstm(Layer):
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

    One input is x alone; three are x, h₀ and c₀. One output is y; with `return_state` there are three: y, h_T (N, H)
    and c_T (N, H), and a layer takes one of them as `lstm_1.0`, `lstm_1.1` or `lstm_1.2`.
    PyTorch stacks the four blocks of `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0` in the order i, f,
    g, o; here each block is a parameter of its own, so that a wrong gate is named: `weight_ii`, `weight_if`,
    `weight_ig`, `weight_io`, `weight_hi`, ..., `bias_ho`. All are drawn uniformly from ±1/√H, PyTorch's default.
    """

    hidden_size: Annotated[int, Meta(ge=1)]
    bias: bool = True
    return_state: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """A sequence of at least one step, alone or with both parts of the initial state."""
        x_shape, *states = x_shapes
        if len(x_shape) != 3 or not x_shape[1]:
            raise ShapeError(f"needs a sequence (N, T, features), got {x_shape}")
        if len(states) not in (0, 2):
            raise ShapeError(f"needs a sequence alone or with h0 and c0, got {len(x_shapes)} inputs")
        expected = (x_shape[0], self.hidden_size)
        for name, shape in zip(("h0", "c0"), states, strict=False):
            if shape != expected:
                raise ShapeError(f"needs {name} (N, hidden_size) = {expected}, got {shape}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weights (H, D) and (H, H) and two biases (H,) for each gate, uniform in ±1/√H."""
        size = self.hidden_size
        shapes: dict[str, Shape] = {"weight_i": (size, x_shapes[0][2]), "weight_h": (size, size)}
        if self.bias:
            shapes |= {"bias_i": (size,), "bias_h": (size,)}
        bound = 1 / np.sqrt(size)
        return {name + k: rng.uniform(-bound, bound, shape) for name, shape in shapes.items() for k in GATES}

    def forward(
        self, x: Array, h0: Array | None = None, c0: Array | None = None, **parameters: Array
    ) -> tuple[Any, Any]:
        """h_t = o tanh c_t, c_t = f c_t₋₁ + i g, step by step."""
        W, U = _stacked("weight_i", parameters), _stacked("weight_h", parameters)
        fed = x @ W.T
        if self.bias:
            fed = fed + (_stacked("bias_i", parameters) + _stacked("bias_h", parameters))
        zeros = np.zeros((len(x), self.hidden_size), dtype=fed.dtype)
        h, c = [zeros if h0 is None else h0], [zeros if c0 is None else c0]
        a, gates = [], []
        for t in range(x.shape[1]):
            a.append(_apart(fed[:, t] + h[-1] @ U.T))
            i, f, o = sigmoid(a[-1][[0, 1, 3]])
            g = np.tanh(a[-1][2])
            gates.append((i, f, g, o))
            c.append(f * c[-1] + i * g)
            h.append(o * np.tanh(c[-1]))
        y = np.stack(h[1:], axis=1)
        return (y, h[-1], c[-1]) if self.return_state else y, (x, W, U, h, c, a, gates, h0 is not None)

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Array]]:
        """Back through time: daᵏ of every step, then all gradients as sums over the steps."""
        x, W, U, h, c, a, gates, has_state = cache
        dy, dh, dc = dy if self.return_state else (dy, 0, 0)
        da = []
        for t in reversed(range(x.shape[1])):
            i, f, g, o = gates[t]
            slope_i, slope_f, slope_o = (y * sigmoid(-a[t][k]) for y, k in ((i, 0), (f, 1), (o, 3)))
            dh = dh + dy[:, t]
            dc = dc + dh * o * tanh_slope(c[t + 1])
            blocks = (
                dc * g * slope_i,
                dc * c[t] * slope_f,
                dc * i * tanh_slope(a[t][2]),
                dh * np.tanh(c[t + 1]) * slope_o,
            )
            da.append(np.concatenate(blocks, axis=1))
            dh, dc = da[-1] @ U, dc * f
        steps = np.stack(da[::-1], axis=1)
        flat = steps.reshape(-1, steps.shape[2])
        before = np.stack(h[:-1], axis=1)
        gradients = _blocks("weight_i", flat.T @ x.reshape(len(flat), -1))
        gradients |= _blocks("weight_h", flat.T @ before.reshape(len(flat), -1))
        if self.bias:
            gradients |= _blocks("bias_i", flat.sum(axis=0)) | _blocks("bias_h", flat.sum(axis=0))
        dx = steps @ W
        return (dx, dh, dc) if has_state else dx, gradients


def _stacked(name: str, parameters: Mapping[str, Array]) -> Array:
    """The blocks of the four gates one below the other, as PyTorch keeps them."""
    return np.concatenate([parameters[name + k] for k in GATES])


def _blocks(name: str, stacked: Array) -> dict[str, Array]:
    """The four blocks apart again, by their names."""
    return {name + k: block for k, block in zip(GATES, np.split(stacked, 4), strict=True)}


def _apart(a: Array) -> Array:
    """(N, 4H) -> (4, N, H)."""
    return np.ascontiguousarray(a.reshape(len(a), 4, -1).swapaxes(0, 1))
