"""What recurrences with one state have in common: steps in one direction or in both, and the way back through time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape

#: The parts of a step's pre-activations (N, H), one for each letter of `gates`.
Parts = tuple[Array, ...]


class Recurrent(Layer):
    """h_t = step(W x_t + b, U h_t₋₁ + c, h_t₋₁), for t from 1 to T and, in the other direction, from T to 1."""

    hidden_size: int
    bias: bool
    bidirectional: bool
    return_state: bool
    #: The letters by which the blocks of the weights are called.
    gates: ClassVar[str]

    @abstractmethod
    def _step(self, fed: Parts, kept: Parts, h: Array) -> tuple[Array, Any]:
        """From the parts that the input gives and those that the state gives: the next state, and what back needs."""

    @abstractmethod
    def _step_back(self, dh: Array, cache: Any) -> tuple[Parts, Parts, Array]:
        """Gradients of both parts, and that of the state before, without its share in the parts."""

    def check(self, *x_shapes: Shape) -> None:
        """A sequence of at least one step, alone or with the initial state."""
        x_shape, *states = x_shapes
        if len(x_shape) != 3 or not x_shape[1]:
            raise ShapeError(f"needs a sequence (N, T, features), got {x_shape}")
        if len(states) > 1:
            raise ShapeError(f"needs a sequence alone or with h0, got {len(x_shapes)} inputs")
        expected = (x_shape[0], *([2] if self.bidirectional else []), self.hidden_size)
        if states and states[0] != expected:
            directions = "2, " if self.bidirectional else ""
            raise ShapeError(f"needs h0 (N, {directions}hidden_size) = {expected}, got {states[0]}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weights (H, D) and (H, H) and two biases (H,) for each gate and direction, uniform in ±1/√H."""
        size = self.hidden_size
        shapes: dict[str, Shape] = {"weight_i": (size, x_shapes[0][2]), "weight_h": (size, size)}
        if self.bias:
            shapes |= {"bias_i": (size,), "bias_h": (size,)}
        bound = 1 / math.sqrt(size)
        return {
            name + k + way: rng.uniform(-bound, bound, shape)
            for way in self._ways
            for name, shape in shapes.items()
            for k in self.gates
        }

    def forward(self, x: Array, h0: Array | None = None, **parameters: Array) -> tuple[Any, Any]:
        """All states, step by step."""
        runs = [self._along(x[:, ::order], state, parameters, way) for order, way, state in self._starts(x, h0)]
        states = [np.stack(h[1:], axis=1)[:, ::order] for order, (h, *_) in zip((1, -1), runs, strict=False)]
        y = np.concatenate(states, axis=2)
        if not self.return_state:
            return y, (runs, h0 is not None)
        last = [h[-1] for h, *_ in runs]
        return (y, np.stack(last, axis=1) if self.bidirectional else last[0]), (runs, h0 is not None)

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Array]]:
        """Back through time, direction by direction."""
        runs, has_state = cache
        dy, d_last = dy if self.return_state else (dy, None)
        dx: Any = 0
        d_states: list[Array] = []
        gradients: dict[str, Array] = {}
        for place, (order, way) in enumerate(zip((1, -1), self._ways, strict=False)):
            own = dy[:, ::order, place * self.hidden_size : (place + 1) * self.hidden_size]
            dh = 0 if d_last is None else d_last[:, place] if self.bidirectional else d_last
            dx_way, dh0, found = self._back_along(own, dh, runs[place])
            dx = dx + dx_way[:, ::order]
            d_states.append(dh0)
            gradients |= {name + way: gradient for name, gradient in found.items()}
        if not has_state:
            return dx, gradients
        return (dx, np.stack(d_states, axis=1) if self.bidirectional else d_states[0]), gradients

    @property
    def _ways(self) -> tuple[str, ...]:
        """What PyTorch adds to the names of the parameters of each direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _starts(self, x: Array, h0: Array | None) -> list[tuple[int, str, Array | None]]:
        """The order of time, the parameters' suffix and the initial state of each direction."""
        states = [None] * 2 if h0 is None else [h0[:, 0], h0[:, 1]] if self.bidirectional else [h0]
        return list(zip((1, -1), self._ways, states, strict=False))

    def _along(self, x: Array, h0: Array | None, parameters: Mapping[str, Array], way: str) -> tuple[Any, ...]:
        """All states of one direction, and what the way back needs."""
        W, U, *biases = (
            np.concatenate([parameters[name + k + way] for k in self.gates])
            for name in ("weight_i", "weight_h", "bias_i", "bias_h")[: 4 if self.bias else 2]
        )
        fed, c = x @ W.T, biases[1] if self.bias else 0
        if self.bias:
            fed = fed + biases[0]
        h, caches = [np.zeros((len(x), self.hidden_size), fed.dtype) if h0 is None else h0], []
        for t in range(x.shape[1]):
            state, cache = self._step(self._apart(fed[:, t]), self._apart(h[-1] @ U.T + c), h[-1])
            h.append(state)
            caches.append(cache)
        return h, caches, x, W, U

    def _back_along(self, dy: Array, dh: Any, run: tuple[Any, ...]) -> tuple[Array, Array, dict[str, Array]]:
        """dx, dh₀ and the gradients of the parameters of one direction: sums over N and T."""
        h, caches, x, W, U = run
        d_fed, d_kept = [], []
        for t in reversed(range(x.shape[1])):
            fed, kept, dh = self._step_back(dh + dy[:, t], caches[t])
            d_fed.append(np.concatenate(fed, axis=1))
            d_kept.append(np.concatenate(kept, axis=1))
            dh = dh + d_kept[-1] @ U
        steps, states = np.stack(d_fed[::-1], axis=1), np.stack(h[:-1], axis=1)
        flat_fed, flat_kept = (each.reshape(-1, len(W)) for each in (steps, np.stack(d_kept[::-1], axis=1)))
        gradients = self._blocks("weight_i", flat_fed.T @ x.reshape(len(flat_fed), -1))
        gradients |= self._blocks("weight_h", flat_kept.T @ states.reshape(len(flat_fed), -1))
        if self.bias:
            gradients |= self._blocks("bias_i", flat_fed.sum(axis=0)) | self._blocks("bias_h", flat_kept.sum(axis=0))
        return steps @ W, dh, gradients

    def _apart(self, a: Array) -> Parts:
        """(N, kH) -> k arrays (N, H)."""
        return tuple(np.split(a, len(self.gates), axis=1))

    def _blocks(self, name: str, stacked: Array) -> dict[str, Array]:
        """The blocks of the gates apart, by their names."""
        return {name + k: block for k, block in zip(self.gates, np.split(stacked, len(self.gates)), strict=True)}
