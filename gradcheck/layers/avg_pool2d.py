"""Mean of each window of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._windows import MarginPair, Pair, Windows, pair


@dataclass(frozen=True)
class AvgPool2d(Layer):
    """Mean of each window of an image, channel by channel.

    forward     y  = Σ X / D         x (N, C, H, W)    y (N, C, P, Q)
                                     X (kh kw, N, C, P, Q)  the windows of x, 0 in the padding

    backward    dX = dy / D          dX (kh kw, N, C, P, Q)  the same for every place in the window
                dx = Σ dX            dx (N, C, H, W)   summed over the windows that read the pixel

    D = kh kw; without count_include_pad D (P, Q) is the number of pixels of the image in each window.
    The stride is the kernel's size unless it is given.
    """

    channelwise = True

    kernel_size: Pair
    stride: Pair | None = None
    padding: MarginPair = 0
    count_include_pad: bool = True

    def check(self, *x_shapes: Shape) -> None:
        """Images that hold a whole window, and a padding of at most half of it."""
        self._windows.check(x_shapes[0])
        self._windows.check_padding()

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = Σ X / D."""
        X = self._windows.places(x)
        return reduce(np.add, X) / self._divisor(x.shape, x.real.dtype), x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dX = dy / D, given back to the pixels."""
        dX = dy / self._divisor(cache, dy.dtype)
        return self._windows.give_back([dX] * math.prod(self._windows.kernel), cache), {}

    def carry(self, moves: Array, **parameters: Any) -> Array:
        """y moves as x does."""
        return self.forward(moves)[0]

    def _divisor(self, x_shape: Shape, dtype: Any) -> int | Array:
        """D, one number or (P, Q)."""
        if self.count_include_pad:
            return math.prod(self._windows.kernel)
        return self._windows.pixels(x_shape).astype(dtype)

    @property
    def _windows(self) -> Windows:
        kernel = pair(self.kernel_size)
        return Windows(kernel, pair(self.stride or kernel), pair(self.padding), (1, 1))
