"""Mean of each window of a sequence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from laws import normal
from pooling_laws import PoolingLaws

from gradcheck.layers.avg_pool1d import AvgPool1d


class NotDivided(AvgPool1d):
    def backward(self, dy, cache):
        return super().backward(dy * self.kernel_size, cache)


class OverlapsOverwritten(AvgPool1d):
    def backward(self, dy, cache):
        dx = np.zeros(cache)
        for n, c, p in np.ndindex(*dy.shape):
            dx[n, c, p * self.stride : p * self.stride + self.kernel_size] = dy[n, c, p] / self.kernel_size
        return dx, {}


class PaddingCounted(AvgPool1d):
    def backward(self, dy, cache):
        return AvgPool1d.backward(replace(self, count_include_pad=True), dy, cache)


def average(layer, numbers, window, sizes, rank):
    """A window's mean: over the image alone, or over what of it and its padding the window reaches."""
    kernel, stride, padding = (
        option if isinstance(option, tuple) else (option,) * rank
        for option in (layer.kernel_size, layer.stride or layer.kernel_size, layer.padding)
    )
    reached = [
        min(w * s + k, size + 2 * a) - w * s
        for w, s, k, size, a in zip(window, stride, kernel, sizes, padding, strict=True)
    ]
    return sum(numbers) / (np.prod(reached) if layer.count_include_pad else len(numbers))


class TestLaws(PoolingLaws):
    kind, rank = AvgPool1d, 1
    cases = (
        (AvgPool1d(2), (normal(2, 2, 5),)),
        (AvgPool1d(3, stride=2, padding=1), (normal(2, 1, 4),)),
        (AvgPool1d(3, stride=2, padding=1, ceil_mode=True), (normal(2, 1, 4),)),
        (AvgPool1d(2, 1, 1, count_include_pad=False), (normal(2, 2, 3),)),
    )
    mistakes = (
        (NotDivided(2), (normal(2, 1, 4),), ("input",)),
        (OverlapsOverwritten(2, 1), (normal(2, 1, 4),), ("input",)),
        (PaddingCounted(2, padding=1, count_include_pad=False), (normal(2, 1, 4),), ("input",)),
    )
    refused = (
        (AvgPool1d(2), ((3, 10),), "needs an input (N, C, L), got (3, 10)"),
        (AvgPool1d(3, padding=2), ((1, 1, 9),), "needs a padding of at most half its kernel of 3, got 2"),
    )

    def drawn_options(self, rng):
        return {"count_include_pad": bool(rng.random() < 0.5)}

    def of(self, layer, numbers, window, sizes):
        return average(layer, numbers, window, sizes, 1)
