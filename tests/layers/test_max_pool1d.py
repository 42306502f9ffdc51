"""Maximum of each window of a sequence."""

from __future__ import annotations

import numpy as np
from laws import normal
from pooling_laws import PoolingLaws

from gradcheck.layers.max_pool1d import MaxPool1d


class OverlapsOverwritten(MaxPool1d):
    def backward(self, dy, cache):
        x_shape, m = cache
        dx = np.zeros(x_shape)
        for n, c, p in np.ndindex(*dy.shape):
            dx[n, c, p * self.stride + m[n, c, p]] = dy[n, c, p]
        return dx, {}


class NextPlace(MaxPool1d):
    def backward(self, dy, cache):
        x_shape, m = cache
        return super().backward(dy, (x_shape, (m + 1) % self.kernel_size))


class ToEveryone(MaxPool1d):
    def backward(self, dy, cache):
        return np.repeat(dy, self.kernel_size, axis=2), {}


class TestLaws(PoolingLaws):
    kind, rank = MaxPool1d, 1
    cases = (
        (MaxPool1d(2), (normal(2, 2, 5),)),
        (MaxPool1d(3, stride=1, padding=1), (normal(2, 1, 4),)),
        (MaxPool1d(2, ceil_mode=True), (normal(2, 2, 5),)),
        (MaxPool1d(2, 1, dilation=3), (normal(2, 1, 6),)),
    )
    mistakes = (
        (OverlapsOverwritten(2, 1), (np.array([[[1.0, 3, 2, 0]], [[3, 1, 2, 5]]]),), ("input",)),
        (NextPlace(2), (normal(2, 1, 4),), ("input",)),
        (ToEveryone(2), (normal(2, 1, 4),), ("input",)),
    )
    refused = (
        (MaxPool1d(2), ((3, 10),), "needs an input (N, C, L), got (3, 10)"),
        (MaxPool1d(4), ((1, 1, 3),), "needs padded images of at least 4 pixels, got 3 for (1, 1, 3)"),
        (MaxPool1d(3, padding=2), ((1, 1, 9),), "needs a padding of at most half its kernel of 3, got 2"),
        (
            MaxPool1d(2, 1, 1, 3),
            ((1, 1, 2),),
            "needs a pixel of the image in every window, got one of padding alone on 2 pixels",
        ),
    )

    def drawn_options(self, rng):
        return {"dilation": int(rng.integers(1, 3))}

    def of(self, layer, numbers, window, sizes):
        return max(numbers)


def test_a_tie_is_a_border():
    assert MaxPool1d(2).branches(np.array([[[1.0, 1.0, 0.0, 2.0]]])).tolist() == [[[-1, 1]]]
