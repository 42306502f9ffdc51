"""Every few places of one axis."""

from __future__ import annotations

import numpy as np
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.slice import Slice


class FromTheFront(Slice):
    def backward(self, dy, cache):
        dx = np.zeros(cache)
        dx[:, : dy.shape[1]] = dy
        return dx, {}


class StepIgnored(Slice):
    def backward(self, dy, cache):
        dx = np.zeros(cache)
        dx[:, self.start : self.start + dy.shape[1]] = dy
        return dx, {}


class Reversed(Slice):
    def backward(self, dy, cache):
        return super().backward(dy[:, ::-1], cache)


class TestLaws(LayerLaws):
    cases = (
        (Slice(start=1, end=3), (normal(3, 4),)),
        (Slice(start=-3, step=2), (normal(2, 5),)),
        (Slice(dim=-1, end=-1), (normal(2, 2, 3),)),
    )
    mistakes = (
        (FromTheFront(start=1), (normal(3, 4),), ("input",)),
        (StepIgnored(step=2), (normal(3, 5),), ("input",)),
        (Reversed(start=1), (normal(3, 4),), ("input",)),
    )
    refused = (
        (Slice(start=3, end=2), ((2, 5),), "needs a place between start=3 and end=2 on axis 1, which has 5"),
        (Slice(dim=0), ((2, 5),), "needs one of the axes 1, -1 for an input (2, 5), got axis 0"),
    )

    def draw(self, rng):
        rank = int(rng.integers(2, 4))
        start, step = int(rng.integers(-3, 3)), int(rng.integers(1, 4))
        end = None if start < 0 or rng.random() < 0.5 else int(rng.integers(3, 7))
        return Slice(int(rng.integers(1, rank)), start, end, step), (rng.standard_normal(rng.integers(3, 6, rank)),)

    def value(self, layer, x):
        size = x.shape[layer.dim]
        start = layer.start + size * (layer.start < 0)
        end = size if layer.end is None else layer.end + size * (layer.end < 0)
        places = [k for k in range(size) if start <= k < end and (k - start) % layer.step == 0]
        return np.stack([x.take(k, axis=layer.dim) for k in places], axis=layer.dim)
