"""Mean of each window of an image, then a weight and a bias of each feature map (LeCun et al. 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._normalised import affine_by_channel, affine_by_channel_backward, drawn_affine
from gradcheck.layers._windows import MarginPair, Pair, Windows, pair


@dataclass(frozen=True)
class LearnablePool2d(Layer):
    """Mean of each window of an image, then a weight and a bias of each feature map: the subsampling of LeNet-5.

    forward     a  = Σ X / D         x (N, C, H, W)   a (N, C, P, Q)   X (kh kw, N, C, P, Q)  the windows of x
                y  = w a + b         y (N, C, P, Q)   weight w (C,)    bias b (C,)            D = kh kw

    backward    dX = w dy / D        dX (kh kw, N, C, P, Q)  the same for every place in the window
                dx = Σ dX            dx (N, C, H, W)  summed over the windows that read the pixel
                dw = Σ dy a          dw (C,)          summed over N, P, Q
                db = Σ dy            db (C,)          summed over N, P, Q

    verified    a composition with torch.nn.functional.avg_pool2d; obvious loops

    The stride is the kernel's size unless it is given; padding counts as zeros. LeCun et al. 1998 add the four pixels
    of a window where this takes their mean, which is the same with a quarter of the weight. w and b are drawn uniformly
    from 0.5 to 1.5 and from −0.5 to 0.5.
    """

    kernel_size: Pair
    stride: Pair | None = None
    padding: MarginPair = 0

    def check(self, *x_shapes: Shape) -> None:
        """Images that hold a whole window, and a padding of at most half of it."""
        self._windows.check_pooling(x_shapes[0])

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (C,) around 1 and bias (C,) around 0."""
        return drawn_affine(rng, x_shapes[0][1:2], bias=True)

    def forward(self, x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
        """y = w a + b, a = Σ X / D."""
        a = reduce(np.add, self._windows.places(x)) / self._windows.size
        return affine_by_channel(a, weight, bias), (x.shape, a, weight)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dX = w dy / D, given back to the pixels; dw = Σ dy a, db = Σ dy."""
        x_shape, a, weight = cache
        da, gradients = affine_by_channel_backward(dy, a, weight, bias=True)
        dX = da / self._windows.size
        return self._windows.give_back([dX] * self._windows.size, x_shape), gradients

    @property
    def _windows(self) -> Windows:
        kernel = pair(self.kernel_size)
        return Windows(kernel, pair(self.stride or kernel), pair(self.padding), (1, 1))
