"""Three-dimensional convolution."""

from __future__ import annotations

import msgspec
import pytest
from convolution_laws import ConvolutionLaws
from laws import normal

from gradcheck.layers.conv3d import Conv3d


class UnflippedKernel(Conv3d):
    def backward(self, dy, cache):
        x_shape, X, weight, has_bias = cache
        flipped = weight[..., ::-1, ::-1, ::-1]
        return super().backward(dy, (x_shape, X, flipped, has_bias))[0], super().backward(dy, cache)[1]


class KernelAxesSwapped(Conv3d):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"].swapaxes(2, 4)}


class WeightOfLastSample(Conv3d):
    def backward(self, dy, cache):
        x_shape, X, weight, has_bias = cache
        dx, gradients = super().backward(dy, cache)
        _, last = super().backward(dy[-1:], ((1, *x_shape[1:]), X[-1:], weight, has_bias))
        return dx, {**gradients, "weight": last["weight"]}


class TestLaws(ConvolutionLaws):
    kind, rank = Conv3d, 3
    cases = (
        (Conv3d(2, 2), (normal(2, 1, 2, 3, 3),)),
        (Conv3d(2, (1, 2, 2), stride=(1, 1, 2), padding=(0, 1, 0), groups=2, bias=False), (normal(1, 2, 1, 2, 3),)),
    )
    mistakes = (
        (UnflippedKernel(1, 2), (normal(2, 1, 2, 2, 3),), ("input",)),
        (KernelAxesSwapped(1, 2), (normal(2, 1, 2, 2, 3),), ("weight",)),
        (WeightOfLastSample(1, 2), (normal(2, 1, 2, 2, 3),), ("weight",)),
    )
    refused = (
        (Conv3d(2, 3), ((3, 2, 4, 4),), "needs an input (N, C, D, H, W), got (3, 2, 4, 4)"),
        (
            Conv3d(2, (3, 1, 2)),
            ((1, 1, 2, 2, 2),),
            "needs padded images of at least 3 x 1 x 2 pixels, got 2 x 2 x 2 for (1, 1, 2, 2, 2)",
        ),
    )


def test_options_of_a_spec():
    assert msgspec.convert({"out_channels": 2, "kernel_size": [1, 2, 3]}, Conv3d) == Conv3d(2, (1, 2, 3))
    with pytest.raises(msgspec.ValidationError, match="kernel_size"):
        msgspec.convert({"out_channels": 2, "kernel_size": [1, 2]}, Conv3d)
