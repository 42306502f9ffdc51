"""A convolution with a stride whose backward scatters the gradient as if the stride were 1.

Output i read its inputs from stride · i on; its gradient has to return to where it was read.

wrong   dx[:, :, u : u + height, v : v + width] += np.einsum("nkhw,kc->nchw", dy, weight[:, :, u, v])
right   dx[:, :, rows, columns] += np.einsum("nkhw,kc->nchw", dy, weight[:, :, u, v])
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class StrideIgnored(Layer):
    """y[n, k, i, j] = Σ x[n, c, s i + u, s j + v] W[k, c, u, v]."""

    out_channels: int
    kernel_size: tuple[int, int]
    stride: int = 2

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((self.out_channels, x_shape[1], *self.kernel_size)) / 3}

    def read(self, x, u, v):
        """The rows and columns of x that meet the kernel's entry (u, v)."""
        height, width = ((size - k) // self.stride for size, k in zip(x.shape[2:], self.kernel_size, strict=True))
        last_row, last_column = u + self.stride * height, v + self.stride * width
        return slice(u, last_row + 1, self.stride), slice(v, last_column + 1, self.stride)

    def forward(self, x, weight):
        y = 0
        for u, v in np.ndindex(self.kernel_size):
            rows, columns = self.read(x, u, v)
            y = y + np.einsum("nchw,kc->nkhw", x[:, :, rows, columns], weight[:, :, u, v])
        return y, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        height, width = dy.shape[2:]
        dx, dW = np.zeros_like(x), np.zeros_like(weight)
        for u, v in np.ndindex(self.kernel_size):
            rows, columns = self.read(x, u, v)
            dW[:, :, u, v] = np.einsum("nkhw,nchw->kc", dy, x[:, :, rows, columns])
            dx[:, :, u : u + height, v : v + width] += np.einsum("nkhw,kc->nchw", dy, weight[:, :, u, v])
        return dx, {"weight": dW}
