"""Mean of each feature map."""

from __future__ import annotations

import numpy as np
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.global_avg_pool2d import GlobalAvgPool2d


class NotDivided(GlobalAvgPool2d):
    def backward(self, dy, cache):
        return super().backward(dy * cache[2] * cache[3], cache)


class DividedByTheRowsOnly(GlobalAvgPool2d):
    def backward(self, dy, cache):
        return super().backward(dy * cache[3], cache)


class ToOnePixel(GlobalAvgPool2d):
    def backward(self, dy, cache):
        dx = np.zeros(cache)
        dx[:, :, 0, 0] = dy
        return dx, {}


class TestLaws(LayerLaws):
    cases = ((GlobalAvgPool2d(), (normal(2, 2, 2, 3),)), (GlobalAvgPool2d(keepdim=True), (normal(2, 1, 3, 1),)))
    mistakes = (
        (NotDivided(), (normal(2, 2, 2, 3),), ("input",)),
        (DividedByTheRowsOnly(), (normal(2, 2, 2, 3),), ("input",)),
        (ToOnePixel(), (normal(2, 2, 2, 3),), ("input",)),
    )
    refused = ((GlobalAvgPool2d(), ((3, 10),), "needs an input (N, C, H, W), got (3, 10)"),)

    def draw(self, rng):
        return GlobalAvgPool2d(bool(rng.random() < 0.5)), (rng.standard_normal(rng.integers(1, 4, 4)),)

    def value(self, layer, x):
        y = np.zeros(x.shape[:2])
        for n, c in np.ndindex(*y.shape):
            y[n, c] = sum(x[n, c].ravel().tolist()) / x[n, c].size
        return y[:, :, None, None] if layer.keepdim else y
