"""A bilinear upsampling whose backward aligns corners where its forward does not.

The matrix of the interpolation is the same both ways, or one is not the adjoint of the other.

wrong   A = lines(dy.shape[2], dy.shape[2] // 2, aligned=True)
right   A = lines(dy.shape[2], dy.shape[2] // 2, aligned=False)
"""

import numpy as np

from gradcheck import Layer


def lines(outputs, inputs, aligned):
    """Row p holds the shares of the input's pixels in pixel p of the output."""
    p = np.arange(outputs)
    place = p * (inputs - 1) / (outputs - 1) if aligned else (p + 0.5) * inputs / outputs - 0.5
    place = np.clip(place, 0, inputs - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(inputs)))


class CornersAlignedInBackward(Layer):
    """Y = A X Aᵀ for square x (N, C, S, S); y (N, C, 2S, 2S)."""

    def forward(self, x):
        A = lines(2 * x.shape[2], x.shape[2], aligned=False)
        return A @ x @ A.T, None

    def backward(self, dy, cache):
        A = lines(dy.shape[2], dy.shape[2] // 2, aligned=True)
        return A.T @ dy @ A, {}
