"""Two-dimensional transposed convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from image_laws import each, several, whole
from laws import close, drawn, normal, outputs, run
from layer_laws import LayerLaws

from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.conv_transpose2d import ConvTranspose2d


class FlippedKernel(ConvTranspose2d):
    def backward(self, dy, cache):
        flat_x, x_shape, weight, has_bias = cache
        dx, _ = super().backward(dy, (flat_x, x_shape, weight[..., ::-1, ::-1], has_bias))
        return dx, super().backward(dy, cache)[1]


class PaddingIgnored(ConvTranspose2d):
    def backward(self, dy, cache):
        return ConvTranspose2d.backward(replace(self, padding=0), np.pad(dy, [(0, 0), (0, 0), (0, 2), (0, 2)]), cache)


class ChannelsSwapped(ConvTranspose2d):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"].swapaxes(0, 1)}


class BiasOfTheInputsPixels(ConvTranspose2d):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": dy[:, :, :: self.stride, :: self.stride].sum(axis=(0, 2, 3))}


X = normal(2, 2, 2, 3)


class TestLaws(LayerLaws):
    cases = (
        (ConvTranspose2d(3, (2, 3)), (X,)),
        (ConvTranspose2d(2, 3, stride=2, padding=1, output_padding=(1, 0), groups=2), (X,)),
        (ConvTranspose2d(1, 2, dilation=(3, 1), output_padding=(2, 0), bias=False), (normal(2, 1, 2, 2),)),
    )
    mistakes = (
        (FlippedKernel(2, 2), (X,), ("input",)),
        (PaddingIgnored(2, 2, padding=1), (normal(2, 2, 3, 3),), ("input",)),
        (ChannelsSwapped(2, 2), (X,), ("weight",)),
        (BiasOfTheInputsPixels(2, 2, stride=2), (X,), ("bias",)),
    )
    refused = (
        (ConvTranspose2d(2, 3), ((3, 10),), "needs an input (N, C, H, W), got (3, 10)"),
        (ConvTranspose2d(3, 2, groups=2), ((1, 2, 3, 3),), "needs out_channels divisible by groups=2, got 3"),
        (
            ConvTranspose2d(3, 2, stride=(2, 1), output_padding=1),
            ((1, 2, 3, 3),),
            "needs an output_padding smaller than stride or dilation, got 1 x 1 for 2 x 1 and 1 x 1",
        ),
        (
            ConvTranspose2d(3, 2, padding=(1, 2)),
            ((1, 2, 3, 3),),
            "needs an output of at least 1 x 1 pixels, got 2 x 0 for (1, 2, 3, 3)",
        ),
    )

    def draw(self, rng):
        groups = whole(rng, 1, 2)
        stride, dilation = several(rng, 2, 1, 3), several(rng, 2, 1, 2)
        extra = tuple(whole(rng, 0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
        kernel = several(rng, 2, 1, 3)
        layer = ConvTranspose2d(
            groups * whole(rng, 1, 2),
            kernel,
            stride,
            several(rng, 2, 0, 1),
            extra,
            groups,
            bool(rng.integers(2)),
            dilation,
        )
        x = rng.standard_normal((whole(rng, 1, 2), groups * whole(rng, 1, 2), whole(rng, 2, 3), whole(rng, 2, 3)))
        return (layer, (x,)) if min(layer._output(x.shape)[2:]) > 0 else self.draw(rng)

    def value(self, layer, x, weight, bias=None):
        y = np.zeros(outputs(layer, x, weight=weight, bias=bias)[0].shape)
        stride, padding, dilation = (each(option, 2) for option in (layer.stride, layer.padding, layer.dilation))
        for n, c, h, w in np.ndindex(*x.shape):
            group = c // (x.shape[1] // layer.groups)
            for o, i, j in np.ndindex(*weight.shape[1:]):
                p = h * stride[0] + i * dilation[0] - padding[0]
                q = w * stride[1] + j * dilation[1] - padding[1]
                if 0 <= p < y.shape[2] and 0 <= q < y.shape[3]:
                    y[n, group * weight.shape[1] + o, p, q] += x[n, c, h, w] * weight[c, o, i, j]
        return y if bias is None else y + bias[:, None, None]


def test_it_is_the_backward_pass_of_a_convolution():
    convolution = Conv2d(3, (2, 3), stride=2, padding=1, bias=False)
    x = normal(2, 2, 6, 5)
    parameters = drawn(convolution, x)
    outcome = run(convolution, x, **parameters)
    layer = ConvTranspose2d(2, (2, 3), stride=2, padding=1, output_padding=(0, 0), bias=False)
    (dx,) = outputs(layer, outcome.dy[0], **parameters)
    close(dx, outcome.dx[0], "the gradient of the input")
