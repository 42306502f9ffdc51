"""Two-dimensional convolution, as networks have it: a cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.layers._base import Array
from gradcheck.layers._columns import Columns
from gradcheck.layers._convolution import Convolution
from gradcheck.layers._windows import Count, MarginPair, Pair, Windows, pair


@dataclass(frozen=True)
class Conv2d(Convolution):
    """Two-dimensional convolution (cross-correlation) of images.

    forward     y  = W X + b         x (N, C, H, W)   weight W (O, C/G, kh, kw)   bias b (O,)   y (N, O, P, Q)
                                     X (N, G, K, PQ)  the windows of x: column pq is what output pixel (p, q) sees,
                                                      K = C/G kh kw pixels; W is (G, O/G, K) in this product

    backward    dX = Wᵀ dy           dX (N, G, K, PQ)
                dx = Σ dX            dx (N, C, H, W)     summed over the windows that read the pixel
                dW = Σ dy Xᵀ         dW (O, C/G, kh, kw) summed over N
                db = Σ dy            db (O,)             summed over N, P, Q

    verified    torch.nn.functional.conv2d; obvious loops

    Entry by entry, y[n, o, p, q] = b[o] + Σ_cij x[n, c, p s + i d − a, q s + j d − a] W[o, c, i, j] with stride s,
    dilation d and padding a of zeros; c runs over the channels of o's group, one of G = groups.
    Parameters are drawn uniformly from ±1/√K, PyTorch's default.
    """

    out_channels: Count
    kernel_size: Pair
    stride: Pair = 1
    padding: MarginPair = 0
    dilation: Pair = 1
    groups: Count = 1
    bias: bool = True

    def perturbed(self, name: str, entries: tuple[Array, ...], steps: Array, x: Array, **parameters: Any) -> Columns:
        """W[o, c, i, j] + δ moves channel o of y by δ times what the windows read at [c, i, j]; b[o] + δ by δ."""
        X, steps = self._windows.read(x), steps.reshape(-1, 1, 1, 1, 1)
        if name == "weight":
            o, c, i, j = entries
            channels = X.shape[1] // self.groups
            group = o // (self.out_channels // self.groups)
            moves = steps * np.moveaxis(X, 0, 3)[group * channels + c, i, j][:, :, None]
        else:
            moves = np.broadcast_to(steps, (len(steps), len(x), 1, *X.shape[4:]))
        return Columns(1, entries[0], moves)

    def carry_columns(self, columns: Columns, **parameters: Any) -> Array | None:
        """A channel c of x that moves by d moves y by W[:, c] D, if all channels of y read it."""
        if columns.axis != 1 or columns.width != 1 or self.groups != 1:
            return None
        D = self._windows.read(columns.moves.reshape(-1, *columns.moves.shape[2:]))
        n, (p, q) = columns.moves.shape[1], D.shape[4:]
        W = np.moveaxis(parameters["weight"], 1, 0)[columns.index]
        W = W.reshape(len(W), 1, self.out_channels, -1)
        carried: Array = W @ D.reshape(len(W), n, -1, p * q)
        return carried.reshape(len(W), n, -1, p, q)

    @property
    def _windows(self) -> Windows:
        return Windows(pair(self.kernel_size), pair(self.stride), pair(self.padding), pair(self.dilation))
