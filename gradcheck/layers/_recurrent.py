"""What recurrences have in common: layers above each other, both directions of time, and the way back through time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape

#: The parts of a step's pre-activations (N, H), one for each letter of `gates`: a tuple, or one array of them.
Parts = tuple[Array, ...] | Array
#: h (N, H); or h and c.
States = tuple[Array, ...]


@dataclass(frozen=True)
class _Place:
    """One recurrence: a layer and a direction.

    number  among all, as PyTorch counts them: layer by layer, both directions of each
    order   1 from the first step to the last, −1 from the last to the first
    suffix  of the names of its parameters
    """

    number: int
    order: int
    suffix: str


class Recurrent(Layer):
    """s_t = step(W x_t + b, U h_t₋₁ + c, s_t₋₁), for t from 1 to T and, in the other direction, from T to 1.

    The state s is h alone, or h and further arrays of its shape. A layer above takes the h of all steps, those of both
    directions side by side, as its x.
    """

    hidden_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    return_state: bool
    #: The letters by which the blocks of the weights are called.
    gates: ClassVar[str]
    #: The names of the initial states.
    states: ClassVar[tuple[str, ...]] = ("h0",)

    @abstractmethod
    def _step(self, fed: Parts, kept: Parts, before: States) -> tuple[States, Any]:
        """From the parts that the input gives and those that h gives: the next state, and what back needs."""

    @abstractmethod
    def _step_back(self, d_state: States, cache: Any) -> tuple[Parts, Parts, States]:
        """Gradients of both parts, and that of the state before, without its share in the parts."""

    def check(self, *x_shapes: Shape) -> None:
        """A sequence of at least one step, alone or with the initial state."""
        x_shape, *given = x_shapes
        if len(x_shape) != 3 or not x_shape[1]:
            raise ShapeError(f"needs a sequence (N, T, features), got {x_shape}")
        if len(given) not in (0, len(self.states)):
            raise ShapeError(f"needs a sequence alone or with {' and '.join(self.states)}, got {len(x_shapes)} inputs")
        expected = self._state_shape(x_shape[0])
        words = ", ".join(["N", *map(str, expected[1:-1]), "hidden_size"])
        for name, shape in zip(self.states, given, strict=False):
            if shape != expected:
                raise ShapeError(f"needs {name} ({words}) = {expected}, got {shape}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weights (H, D) and (H, H) and two biases (H,) for each gate, direction and layer, uniform in ±1/√H."""
        size, bound = self.hidden_size, 1 / math.sqrt(self.hidden_size)
        parameters: dict[str, Array] = {}
        width = x_shapes[0][2]
        for layer in self._layers:
            shapes: dict[str, Shape] = {"weight_i": (size, width), "weight_h": (size, size)}
            if self.bias:
                shapes |= {"bias_i": (size,), "bias_h": (size,)}
            for place in layer:
                for name, shape in shapes.items():
                    parameters |= {name + k + place.suffix: rng.uniform(-bound, bound, shape) for k in self.gates}
            width = size * len(layer)
        return parameters

    def forward(self, x: Array, h0: Array | None = None, **parameters: Array) -> tuple[Any, Any]:
        """All states, step by step and layer by layer."""
        return self._through(x, () if h0 is None else (h0,), parameters)

    def _through(self, x: Array, given: Sequence[Array], parameters: Mapping[str, Array]) -> tuple[Any, Any]:
        starts = [state.reshape(len(x), -1, self.hidden_size) for state in given]
        y, runs = x, []
        for layer in self._layers:
            for place in layer:
                start = [state[:, place.number] for state in starts]
                runs.append(self._along(y[:, :: place.order], start, parameters, place.suffix))
            passed = [_hidden(run)[:, :: place.order] for place, run in zip(layer, runs[-len(layer) :], strict=True)]
            y = np.concatenate(passed, axis=2)
        cache = runs, bool(given)
        if not self.return_state:
            return y, cache
        last = zip(*[states[-1] for states, *_ in runs], strict=True)
        return (y, *[np.stack(each, axis=1).reshape(self._state_shape(len(x))) for each in last]), cache

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Array]]:
        """Back through time, from the uppermost layer down."""
        runs, has_state = cache
        dy, *d_last = dy if self.return_state else (dy,)
        ends = [d.reshape(len(dy), -1, self.hidden_size) for d in d_last]
        starts: dict[int, States] = {}
        gradients: dict[str, Array] = {}
        for layer in reversed(self._layers):
            above, dy = np.split(dy, len(layer), axis=2), 0
            for place, own in zip(layer, above, strict=True):
                end = tuple(d[:, place.number] for d in ends) or (np.zeros_like(own[:, 0]),) * len(self.states)
                dx, start, found = self._back_along(own[:, :: place.order], end, runs[place.number])
                dy = dy + dx[:, :: place.order]
                starts[place.number] = start
                gradients |= {name + place.suffix: gradient for name, gradient in found.items()}
        if not has_state:
            return dy, gradients
        first = zip(*[starts[number] for number in range(len(runs))], strict=True)
        return (dy, *[np.stack(each, axis=1).reshape(self._state_shape(len(dy))) for each in first]), gradients

    @property
    def _layers(self) -> list[list[_Place]]:
        """The recurrences of each layer, from the input upwards; suffixes are PyTorch's, without `_l0`."""
        ways = ((1, ""), (-1, "_reverse"))[: 1 + self.bidirectional]
        return [
            [
                _Place(len(ways) * k + number, order, (f"_l{k}" if k else "") + way)
                for number, (order, way) in enumerate(ways)
            ]
            for k in range(self.num_layers)
        ]

    def _state_shape(self, samples: int) -> Shape:
        """(N, H), or (N, layers × directions, H) where there are several."""
        places = self.num_layers * (1 + self.bidirectional)
        return (samples, *([places] if places > 1 else []), self.hidden_size)

    def _along(self, x: Array, start: Sequence[Array], parameters: Mapping[str, Array], suffix: str) -> tuple[Any, ...]:
        """All states of one recurrence, and what the way back needs."""
        W, U, *biases = (
            np.concatenate([parameters[name + k + suffix] for k in self.gates])
            for name in ("weight_i", "weight_h", "bias_i", "bias_h")[: 4 if self.bias else 2]
        )
        fed, c = x @ W.T, biases[1] if self.bias else 0
        if self.bias:
            fed = fed + biases[0]
        zeros = np.zeros((len(x), self.hidden_size), fed.dtype)
        states, caches = [tuple(start) or (zeros,) * len(self.states)], []
        for own in np.ascontiguousarray(fed.reshape(*x.shape[:2], len(self.gates), -1).transpose(1, 2, 0, 3)):
            kept = (states[-1][0] @ U.T + c).reshape(len(x), len(self.gates), -1).swapaxes(0, 1)
            state, cache = self._step(own, kept, states[-1])
            states.append(state)
            caches.append(cache)
        return states, caches, x, W, U

    def _back_along(self, dy: Array, d_end: States, run: tuple[Any, ...]) -> tuple[Array, States, dict[str, Array]]:
        """dx, those of the initial state and of the parameters of one recurrence: sums over N and T."""
        states, caches, x, W, U = run
        d_fed, d_kept, (dh, *others) = [], [], d_end
        for t in reversed(range(x.shape[1])):
            fed, kept, (dh, *others) = self._step_back((dh + dy[:, t], *others), caches[t])
            d_fed.append(np.concatenate(fed, axis=1))
            d_kept.append(np.concatenate(kept, axis=1))
            dh = dh + d_kept[-1] @ U
        steps, before = np.stack(d_fed[::-1], axis=1), np.stack([h for h, *_ in states[:-1]], axis=1)
        flat_fed, flat_kept = (each.reshape(-1, len(W)) for each in (steps, np.stack(d_kept[::-1], axis=1)))
        gradients = self._blocks("weight_i", flat_fed.T @ x.reshape(len(flat_fed), -1))
        gradients |= self._blocks("weight_h", flat_kept.T @ before.reshape(len(flat_fed), -1))
        if self.bias:
            gradients |= self._blocks("bias_i", flat_fed.sum(axis=0)) | self._blocks("bias_h", flat_kept.sum(axis=0))
        return steps @ W, (dh, *others), gradients

    def _blocks(self, name: str, stacked: Array) -> dict[str, Array]:
        """The blocks of the gates apart, by their names."""
        return {name + k: block for k, block in zip(self.gates, np.split(stacked, len(self.gates)), strict=True)}


def _hidden(run: tuple[Any, ...]) -> Array:
    """h of all steps of a recurrence, in its own order: (N, T, H)."""
    states = run[0]
    return np.stack([h for h, *_ in states[1:]], axis=1)
