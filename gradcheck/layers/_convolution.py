"""What convolutions over one, two and three axes have in common: the way there and back."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._windows import Windows


class Convolution(Layer):
    """y = W X + b, of the windows X (N, G, K, P) of x: column p is what output pixel p sees."""

    out_channels: int
    groups: int
    bias: bool

    @property
    @abstractmethod
    def _windows(self) -> Windows: ...

    def check(self, *x_shapes: Shape) -> None:
        """Images that hold a whole kernel, and channels that the groups divide."""
        self._windows.check(x_shapes[0])
        require_groups(self.groups, x_shapes[0][1], self.out_channels)

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (O, C/G, ...) and bias (O,), uniform in ±1/√K."""
        kernel = (x_shapes[0][1] // self.groups, *self._windows.kernel)
        bound = 1 / math.sqrt(math.prod(kernel))
        parameters = {"weight": rng.uniform(-bound, bound, (self.out_channels, *kernel))}
        if self.bias:
            parameters["bias"] = rng.uniform(-bound, bound, self.out_channels)
        return parameters

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
        """y = W X + b."""
        windows = self._windows.read(x)
        n, counts = len(x), windows.shape[x.ndim :]
        W = weight.reshape(self.groups, len(weight) // self.groups, -1)
        X = windows.reshape(n, self.groups, W.shape[2], math.prod(counts))
        y = _product(W, X).reshape(n, len(weight), *counts)
        if bias is not None:
            y = y.astype(np.result_type(y, bias), copy=False)
            y += bias.reshape(-1, *[1] * len(counts))  # in place: a second array of this size costs more than a sum
        return y, (x.shape, X, weight, bias is not None)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dX = Wᵀ dy, given back to the pixels; dW = Σ dy Xᵀ, db = Σ dy."""
        x_shape, X, weight, has_bias = cache
        W = weight.reshape(self.groups, -1, X.shape[2])
        flat_dy = dy.reshape(len(dy), self.groups, W.shape[1], X.shape[3])
        dX = (W.mT @ flat_dy).reshape(len(dy), x_shape[1], self._windows.size, *dy.shape[2:])
        gradients = {"weight": (flat_dy @ X.mT).sum(axis=0).reshape(weight.shape)}
        if has_bias:
            gradients["bias"] = dy.sum(axis=(0, *range(2, dy.ndim)))
        return self._windows.give_back(np.moveaxis(dX, 2, 0), x_shape), gradients

    def carry(self, moves: Array, **parameters: Any) -> Array:
        """x that moves by d moves y by W D, D the windows of d."""
        return self.forward(moves, parameters["weight"])[0]


def _product(W: Array, X: Array) -> Array:
    """W X. A real W takes the real and the imaginary part of X apart, as two columns: half the work of a complex W."""
    y: Array
    if X.dtype.kind != "c" or W.dtype.kind == "c":
        y = W @ X
        return y
    parts = W @ np.ascontiguousarray(X).view(X.real.dtype)
    y = parts.view(np.result_type(parts, np.complex64))
    return y


def require_groups(groups: int, in_channels: int, out_channels: int) -> None:
    """Raise ShapeError unless the groups divide the channels of input and output."""
    for channels, count in {"input channels": in_channels, "out_channels": out_channels}.items():
        if count % groups:
            raise ShapeError(f"needs {channels} divisible by groups={groups}, got {count}")
