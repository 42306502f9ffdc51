"""A mean over windows of an image whose backward stops one window early, in both directions.

wrong   rows, columns = dy.shape[2] - 1, dy.shape[3] - 1
right   rows, columns = dy.shape[2], dy.shape[3]
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class LastWindowForgotten(Layer):
    """y[n, c, i, j] = the mean of the window of k × k numbers that starts at (s i, s j)."""

    kernel_size: int
    stride: int = 1

    def windows(self, size):
        return (size - self.kernel_size) // self.stride + 1

    def forward(self, x):
        height, width = self.windows(x.shape[2]), self.windows(x.shape[3])
        y = np.zeros((*x.shape[:2], height, width), x.dtype)
        for i in range(height):
            for j in range(width):
                y[:, :, i, j] = x[:, :, *self.window(i, j)].mean(axis=(2, 3))
        return y, x.shape

    def window(self, i, j):
        k, s = self.kernel_size, self.stride
        return slice(s * i, s * i + k), slice(s * j, s * j + k)

    def backward(self, dy, shape):
        dx = np.zeros(shape)
        rows, columns = dy.shape[2] - 1, dy.shape[3] - 1
        for i in range(rows):
            for j in range(columns):
                dx[:, :, *self.window(i, j)] += dy[:, :, i : i + 1, j : j + 1] / self.kernel_size**2
        return dx, {}
