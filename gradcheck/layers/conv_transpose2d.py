"""Two-dimensional transposed convolution: what the backward pass of a convolution does to its upstream gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._convolution import require_groups
from gradcheck.layers._windows import Count, MarginPair, Pair, Windows, by, pair, require_image


@dataclass(frozen=True)
class ConvTranspose2d(Layer):
    """Two-dimensional transposed convolution of images.

    forward     Y  = Wᵀ x            x (N, C, H, W)   weight W (C, O/G, kh, kw)   bias b (O,)   y (N, O, P, Q)
                y  = Σ Y + b         Y (N, G, K, HW)  column hw is what pixel (h, w) adds to a window of the output,
                                                      K = O/G kh kw pixels; W is (G, C/G, K) in this product

    backward    dY = windows of dy   dY (N, G, K, HW)
                dx = W dY            dx (N, C, H, W)
                dW = Σ x dYᵀ         dW (C, O/G, kh, kw) summed over N
                db = Σ dy            db (O,)             summed over N, P, Q

    verified    torch.nn.functional.conv_transpose2d; obvious loops

    P = (H − 1) stride − 2 padding + dilation (kh − 1) + output_padding + 1, and Q likewise: forward is the gradient of
    a convolution with these options, and output_padding chooses among the sizes of which that makes H. Parameters are
    drawn uniformly from ±1/√K, PyTorch's default.
    """

    out_channels: Count
    kernel_size: Pair
    stride: Pair = 1
    padding: MarginPair = 0
    output_padding: MarginPair = 0
    groups: Count = 1
    bias: bool = True
    dilation: Pair = 1

    def check(self, *x_shapes: Shape) -> None:
        """Images, of which something is left behind the padding, and channels that the groups divide."""
        require_image(x_shapes[0], 2)
        require_groups(self.groups, x_shapes[0][1], self.out_channels)
        extra, stride, dilation = pair(self.output_padding), pair(self.stride), pair(self.dilation)
        if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
            raise ShapeError(
                "needs an output_padding smaller than stride or dilation, "
                f"got {by(extra)} for {by(stride)} and {by(dilation)}"
            )
        size = self._output(x_shapes[0])[2:]
        if min(size) < 1:
            raise ShapeError(f"needs an output of at least 1 x 1 pixels, got {by(size)} for {x_shapes[0]}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (C, O/G, kh, kw) and bias (O,), uniform in ±1/√(O/G kh kw)."""
        kernel = (self.out_channels // self.groups, *self._windows.kernel)
        bound = 1 / math.sqrt(math.prod(kernel))
        parameters = {"weight": rng.uniform(-bound, bound, (x_shapes[0][1], *kernel))}
        if self.bias:
            parameters["bias"] = rng.uniform(-bound, bound, self.out_channels)
        return parameters

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
        """y = Σ Y + b, Y = Wᵀ x."""
        n, _, h, w = x.shape
        flat_x = x.reshape(n, self.groups, len(weight) // self.groups, h * w)
        W = weight.reshape(self.groups, flat_x.shape[2], -1)
        Y = (W.mT @ flat_x).reshape(n, self.out_channels, self._windows.size, h, w)
        y = self._windows.give_back(np.moveaxis(Y, 2, 0), self._output(x.shape))
        if bias is not None:
            y = y + bias[:, None, None]
        return y, (flat_x, x.shape, weight, bias is not None)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = W dY, dW = Σ x dYᵀ, db = Σ dy."""
        flat_x, x_shape, weight, has_bias = cache
        n, _, h, w = x_shape
        W = weight.reshape(self.groups, flat_x.shape[2], -1)
        dY = self._windows.read(dy)[..., :h, :w].reshape(n, self.groups, W.shape[2], h * w)
        gradients = {"weight": (flat_x @ dY.mT).sum(axis=0).reshape(weight.shape)}
        if has_bias:
            gradients["bias"] = dy.sum(axis=(0, 2, 3))
        return (W @ dY).reshape(x_shape), gradients

    def _output(self, x_shape: Shape) -> Shape:
        """(N, O, P, Q)."""
        windows = self._windows
        sizes = (
            (size - 1) * s - 2 * p + e + o
            for size, s, p, e, o in zip(
                x_shape[2:], windows.stride, windows.padding, windows.extent, pair(self.output_padding), strict=True
            )
        )
        return (x_shape[0], self.out_channels, *sizes)

    @property
    def _windows(self) -> Windows:
        return Windows(pair(self.kernel_size), pair(self.stride), pair(self.padding), pair(self.dilation))
