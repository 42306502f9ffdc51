"""Maximum of each window of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._windows import MarginPair, Pair, Windows, pair


@dataclass(frozen=True)
class MaxPool2d(Layer):
    """Maximum of each window of an image, channel by channel.

    forward     y  = X[m],  m = argmax X    x (N, C, H, W)   y, m (N, C, P, Q)
                                            X (kh kw, N, C, P, Q)  the windows of x, −∞ in the padding

    backward    dX = dy at m,  else 0       dX (kh kw, N, C, P, Q)
                dx = Σ dX                   dx (N, C, H, W)  summed over the windows that read the pixel

    The stride is the kernel's size unless it is given. The first of equal maxima is taken; there, where there is no
    derivative, the whole gradient goes to it, and a complex step, which is judged by its real part, is told the same.
    """

    channelwise = True

    kernel_size: Pair
    stride: Pair | None = None
    padding: MarginPair = 0
    dilation: Pair = 1

    def check(self, *x_shapes: Shape) -> None:
        """Images that hold a whole window, and in every window at least one of their pixels."""
        windows = self._windows
        windows.check(x_shapes[0])
        windows.check_padding()
        if not windows.pixels(x_shapes[0]).all():
            h, w = x_shapes[0][2:]
            raise ShapeError(
                f"needs a pixel of the image in every window, got one of padding alone on {h} x {w} pixels"
            )

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = X[m], m = argmax X."""
        y, m = self._greatest(x)
        return y, (x.shape, m)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dX = dy at m, given back to the pixels."""
        x_shape, m = cache
        windows = self._windows
        dX = [np.where(m == place, dy, 0) for place in range(math.prod(windows.kernel))]
        return windows.give_back(dX, x_shape), {}

    def branches(self, *inputs: Array, **parameters: Any) -> Array:
        """m, the place of the maximum in its window, rows first; −1 − m where the maximum is attained twice."""
        x = inputs[0].real
        y, m = self._greatest(x)
        attained = sum(entry == y for entry in self._windows.places(x, -np.inf))
        places: Array = np.where(attained > 1, -1 - m, m)
        return places

    def _greatest(self, x: Array) -> tuple[Array, Array]:
        """X[m] and m, the first of equal maxima, judged by the real part; NaN stays NaN."""
        y, *others = self._windows.places(x, -np.inf)
        m = np.zeros(y.shape, int)
        for place, entry in enumerate(others, start=1):
            greater = (entry.real > y.real) | np.isnan(entry.real)
            y, m = np.where(greater, entry, y), np.where(greater, place, m)
        return y, m

    @property
    def _windows(self) -> Windows:
        kernel = pair(self.kernel_size)
        return Windows(kernel, pair(self.stride or kernel), pair(self.padding), pair(self.dilation))
