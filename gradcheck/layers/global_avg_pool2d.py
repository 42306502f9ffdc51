"""Mean of each feature map (Lin et al. 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._windows import require_image


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """Mean of each feature map (Lin et al. 2013, Network in Network).

    forward     y  = Σ x / HW               x (N, C, H, W)      y (N, C), or (N, C, 1, 1) with keepdim

    backward    dx = dy / HW                dx (N, C, H, W)     the same for every pixel of the map

    verified    a composition with torch.nn.functional.adaptive_avg_pool2d; obvious loops
    """

    keepdim: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """Images."""
        require_image(x_shapes[0], 2)

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = Σ x / HW."""
        return x.mean(axis=(2, 3), keepdims=self.keepdim), x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy / HW."""
        n, c, h, w = cache
        return np.broadcast_to(dy.reshape(n, c, 1, 1) / (h * w), cache).copy(), {}
