"""Mean of the parts of an image that make a given number of rows and columns."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.adaptive_avg_pool2d import AdaptiveAvgPool2d


class NotDivided(AdaptiveAvgPool2d):
    def backward(self, dy, cache):
        A, B = ((matrix > 0).astype(float) for matrix in self._matrices(cache))
        return A.T @ dy @ B, {}


class OverlapsOnce(AdaptiveAvgPool2d):
    def backward(self, dy, cache):
        A, B = (matrix * (np.cumsum(matrix > 0, axis=0) == 1) for matrix in self._matrices(cache))
        return A.T @ dy @ B, {}


class RowsOfTheColumns(AdaptiveAvgPool2d):
    def backward(self, dy, cache):
        dx, _ = super().backward(dy, cache)
        return dx.swapaxes(2, 3), {}


def parts(x, output_size):
    """For every output pixel its place and the pixels of its part, one list an image."""
    P, Q = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    (h, w), P, Q = x.shape[2:], P or x.shape[2], Q or x.shape[3]
    for p, q in np.ndindex(P, Q):
        rows = slice(math.floor(p * h / P), math.ceil((p + 1) * h / P))
        columns = slice(math.floor(q * w / Q), math.ceil((q + 1) * w / Q))
        yield (P, Q), (p, q), x[:, :, rows, columns].reshape(*x.shape[:2], -1)


class TestLaws(LayerLaws):
    cases = (
        (AdaptiveAvgPool2d(2), (normal(2, 2, 4, 5),)),
        (AdaptiveAvgPool2d((None, 3)), (normal(2, 1, 2, 4),)),
        (AdaptiveAvgPool2d((3, 1)), (normal(2, 1, 2, 2),)),
    )
    mistakes = (
        (NotDivided(2), (normal(2, 1, 4, 4),), ("input",)),
        (OverlapsOnce(2), (normal(2, 1, 3, 3),), ("input",)),
        (RowsOfTheColumns(2), (normal(2, 1, 4, 4),), ("input",)),
    )
    refused = ((AdaptiveAvgPool2d(2), ((3, 10),), "needs an input (N, C, H, W), got (3, 10)"),)

    def draw(self, rng):
        size = tuple(int(n) for n in rng.integers(1, 5, 2))
        layer = AdaptiveAvgPool2d(size if rng.random() < 0.5 else (None, size[1]))
        return layer, (rng.standard_normal((1, 2, *rng.integers(1, 6, 2))),)

    def value(self, layer, x):
        y = None
        for shape, (p, q), part in parts(x, layer.output_size):
            y = np.zeros((*x.shape[:2], *shape)) if y is None else y
            y[:, :, p, q] = part.sum(axis=2) / part.shape[2]
        return y


def test_options_of_a_spec():
    assert msgspec.convert({"output_size": [None, 3]}, AdaptiveAvgPool2d) == AdaptiveAvgPool2d((None, 3))
