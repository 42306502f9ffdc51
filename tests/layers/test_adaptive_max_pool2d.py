"""Maximum of the parts of an image that make a given number of rows and columns."""

from __future__ import annotations

import math

import numpy as np
from laws import normal
from layer_laws import LayerLaws, checked

from gradcheck.layers.adaptive_max_pool2d import AdaptiveMaxPool2d


class OverlapsOverwritten(AdaptiveMaxPool2d):
    def backward(self, dy, cache):
        x_shape, m = cache
        dx = np.zeros(x_shape)
        np.put_along_axis(dx.reshape(*x_shape[:2], -1), m.reshape(*m.shape[:2], -1), dy.reshape(*m.shape[:2], -1), 2)
        return dx, {}


class NextPixel(AdaptiveMaxPool2d):
    def backward(self, dy, cache):
        x_shape, m = cache
        return super().backward(dy, (x_shape, (m + 1) % (x_shape[2] * x_shape[3])))


class OfAnotherMap(AdaptiveMaxPool2d):
    def backward(self, dy, cache):
        x_shape, m = cache
        return super().backward(dy, (x_shape, m[:, ::-1]))


PEAK = np.array([[[[0.0, 1, 2], [3, 9, 4], [5, 6, 7]]]])


class TestLaws(LayerLaws):
    cases = (
        (AdaptiveMaxPool2d(2), (normal(2, 2, 4, 5),)),
        (AdaptiveMaxPool2d((None, 2)), (normal(2, 1, 2, 3),)),
    )
    mistakes = (
        (OverlapsOverwritten(2), (PEAK,), ("input",)),
        (NextPixel(2), (normal(2, 1, 4, 4),), ("input",)),
        (OfAnotherMap(2), (normal(2, 2, 4, 4),), ("input",)),
    )
    refused = ((AdaptiveMaxPool2d(2), ((3, 10),), "needs an input (N, C, H, W), got (3, 10)"),)

    def draw(self, rng):
        size = tuple(int(n) for n in rng.integers(1, 4, 2))
        layer = AdaptiveMaxPool2d(size if rng.random() < 0.5 else (size[0], None))
        return layer, (rng.standard_normal((1, 2, *rng.integers(1, 6, 2))),)

    def value(self, layer, x):
        P, Q = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size, layer.output_size)
        (h, w), P, Q = x.shape[2:], P or x.shape[2], Q or x.shape[3]
        y = np.zeros((*x.shape[:2], P, Q))
        for p, q in np.ndindex(P, Q):
            rows = range(math.floor(p * h / P), math.ceil((p + 1) * h / P))
            columns = range(math.floor(q * w / Q), math.ceil((q + 1) * w / Q))
            for n, c in np.ndindex(*x.shape[:2]):
                y[n, c, p, q] = max(x[n, c, i, j] for i in rows for j in columns)
        return y

    def torch_function(self, layer, torch):
        return lambda x: torch.nn.functional.adaptive_max_pool2d(x, layer.output_size)


def test_a_tie_is_a_border():
    x = np.zeros((1, 1, 2, 2))
    assert AdaptiveMaxPool2d((1, 2)).branches(x).tolist() == [[[[-1, -2]]]]
    assert checked(AdaptiveMaxPool2d(1), (x,)).verdict == "kink"
