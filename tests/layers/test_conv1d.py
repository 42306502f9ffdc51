"""One-dimensional convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from convolution_laws import ConvolutionLaws
from laws import normal

from gradcheck.layers.conv1d import Conv1d


class UnflippedKernel(Conv1d):
    def backward(self, dy, cache):
        x_shape, X, weight, has_bias = cache
        return super().backward(dy, (x_shape, X, weight[..., ::-1], has_bias))[0], super().backward(dy, cache)[1]


class StrideIgnored(Conv1d):
    def backward(self, dy, cache):
        return Conv1d.backward(replace(self, stride=1), dy, cache)


class WeightOfOtherGroup(Conv1d):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": np.roll(gradients["weight"], 1, axis=0)}


class BiasOfOnePlace(Conv1d):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": dy[:, :, 0].sum(axis=0)}


class TestLaws(ConvolutionLaws):
    kind, rank = Conv1d, 1
    cases = (
        (Conv1d(2, 3), (normal(2, 2, 5),)),
        (Conv1d(4, 2, stride=2, padding=1, dilation=2, groups=2), (normal(2, 2, 4),)),
        (Conv1d(4, 2, groups=2, bias=False), (normal(2, 2, 3),)),
    )
    mistakes = (
        (UnflippedKernel(2, 3), (normal(2, 1, 4),), ("input",)),
        (StrideIgnored(2, 2, stride=2), (normal(2, 1, 5),), ("input",)),
        (WeightOfOtherGroup(2, 2, groups=2), (normal(2, 2, 4),), ("weight",)),
        (BiasOfOnePlace(2, 2), (normal(2, 1, 4),), ("bias",)),
    )
    refused = (
        (Conv1d(2, 3), ((3, 10),), "needs an input (N, C, L), got (3, 10)"),
        (Conv1d(2, 3, dilation=2), ((1, 1, 4),), "needs padded images of at least 5 pixels, got 4 for (1, 1, 4)"),
        (Conv1d(4, 1, groups=2), ((1, 3, 2),), "needs input channels divisible by groups=2, got 3"),
    )
