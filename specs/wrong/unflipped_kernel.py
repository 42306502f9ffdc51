"""A convolution that carries the gradient back to its input with the kernel as it stands.

An input at distance u before an output met the kernel's entry u; seen from the input, the kernel is turned around.

wrong   kernel = weight
right   kernel = weight[:, :, ::-1, ::-1]
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gradcheck import Layer


@dataclass(frozen=True)
class UnflippedKernel(Layer):
    """y[n, k, i, j] = Σ x[n, c, i + u, j + v] W[k, c, u, v]."""

    out_channels: int
    kernel_size: tuple[int, int]

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((self.out_channels, x_shape[1], *self.kernel_size)) / 3}

    def forward(self, x, weight):
        windows = sliding_window_view(x, self.kernel_size, axis=(2, 3))
        return np.einsum("nchwuv,kcuv->nkhw", windows, weight), (windows, weight)

    def backward(self, dy, cache):
        windows, weight = cache
        dW = np.einsum("nkhw,nchwuv->kcuv", dy, windows)
        height, width = self.kernel_size
        kernel = weight
        border = ((0, 0), (0, 0), (height - 1, height - 1), (width - 1, width - 1))
        around = sliding_window_view(np.pad(dy, border), self.kernel_size, axis=(2, 3))
        return np.einsum("nkhwuv,kcuv->nchw", around, kernel), {"weight": dW}
