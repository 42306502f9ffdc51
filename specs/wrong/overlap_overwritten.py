"""Max pooling whose overlapping windows overwrite each other's gradient.

An input that wins in two windows feeds two outputs, and gets the sum of what they send back.

wrong   dx[n, c, row, column] = dy[:, :, i, j]
right   dx[n, c, row, column] += dy[:, :, i, j]
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class OverlapOverwritten(Layer):
    """y[n, c, i, j] = the greatest x[n, c, s i + u, s j + v] with u, v < kernel_size."""

    kernel_size: int = 3
    stride: int = 1

    def forward(self, x):
        k, s = self.kernel_size, self.stride
        samples, channels, height, width = x.shape
        shape = (samples, channels, (height - k) // s + 1, (width - k) // s + 1)
        y, winners = np.empty(shape, x.dtype), np.empty(shape, int)
        for i, j in np.ndindex(shape[2:]):
            window = x[:, :, s * i : s * i + k, s * j : s * j + k].reshape(samples, channels, k * k)
            winner = window.real.argmax(axis=-1, keepdims=True)
            y[:, :, i, j] = np.take_along_axis(window, winner, axis=-1)[..., 0]
            winners[:, :, i, j] = winner[..., 0]
        return y, (winners, x.shape)

    def backward(self, dy, cache):
        winners, x_shape = cache
        dx = np.zeros(x_shape)
        n, c = np.ogrid[: x_shape[0], : x_shape[1]]
        for i, j in np.ndindex(dy.shape[2:]):
            row = self.stride * i + winners[:, :, i, j] // self.kernel_size
            column = self.stride * j + winners[:, :, i, j] % self.kernel_size
            dx[n, c, row, column] = dy[:, :, i, j]
        return dx, {}
