"""Forward and backward of the workloads, written by hand in plain numpy: the unit of all times.

Each takes x, the target and the parameters -> (loss, gradients of the parameters in their order).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _versus.frameworks import windows

Array = NDArray[Any]
Result = tuple[Any, list[Array]]


def tanh_mlp(x: Array, target: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> Result:
    """tanh between two linear layers, mean squared error."""
    h = np.tanh(x @ W1 + b1)
    error = h @ W2 + b2 - target
    dp = error * (2 / error.size)
    dz = (dp @ W2.T) * (1 - h * h)
    return (error * error).mean(), [x.T @ dz, dz.sum(axis=0), h.T @ dp, dp.sum(axis=0)]


def relu_mlp(x: Array, target: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> Result:
    """ReLU between two linear layers, mean cross-entropy."""
    z = x @ W1 + b1
    h = np.maximum(z, 0.0)
    loss, dp = _cross_entropy(h @ W2 + b2, target)
    dz = (dp @ W2.T) * (z > 0)
    return loss, [x.T @ dz, dz.sum(axis=0), h.T @ dp, dp.sum(axis=0)]


def convnet(
    x: Array, target: Array, K1: Array, k1: Array, K2: Array, k2: Array, W1: Array, b1: Array, W2: Array, b2: Array
) -> Result:
    """Convolution, ReLU, pooling by twos, convolution, ReLU, linear, ReLU, linear, mean cross-entropy."""
    X1 = windows(x, K1.shape[2:])
    z1 = K1.reshape(len(K1), -1) @ X1 + k1[:, None]
    image, place = _pooled(z1, x.shape[2] - K1.shape[2] + 1)
    X2 = windows(np.maximum(image, 0.0), K2.shape[2:])
    z2 = K2.reshape(len(K2), -1) @ X2 + k2[:, None]
    features = np.maximum(z2, 0.0).reshape(len(x), -1)
    z3 = features @ W1 + b1
    h = np.maximum(z3, 0.0)
    loss, dp = _cross_entropy(h @ W2 + b2, target)
    dz3 = (dp @ W2.T) * (z3 > 0)
    dz2 = (dz3 @ W1.T).reshape(z2.shape) * (z2 > 0)
    dX2 = K2.reshape(len(K2), -1).T @ dz2
    d_image = _given_back(dX2, image.shape, K2.shape[2:]) * (image > 0)
    dz1 = _unpooled(d_image, place).reshape(z1.shape)
    return loss, [
        (dz1 @ X1.transpose(0, 2, 1)).sum(axis=0).reshape(K1.shape), dz1.sum(axis=(0, 2)),
        (dz2 @ X2.transpose(0, 2, 1)).sum(axis=0).reshape(K2.shape), dz2.sum(axis=(0, 2)),
        features.T @ dz3, dz3.sum(axis=0), h.T @ dp, dp.sum(axis=0),
    ]  # fmt: skip


def _cross_entropy(logits: Array, target: Array) -> tuple[Any, Array]:
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    rows = np.arange(len(z))
    loss = (np.log(total[:, 0]) - z[rows, target]).mean()
    dp = e / total
    dp[rows, target] -= 1
    return loss, dp / len(z)


def _pooled(z: Array, side: int) -> tuple[Array, Array]:
    """Maximum of each 2 × 2 block of (N, C, side²), and its place in the block."""
    n, c, _ = z.shape
    blocks = z.reshape(n, c, side // 2, 2, side // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, -1, 4)
    place = blocks.argmax(axis=3)
    return blocks.max(axis=3).reshape(n, c, side // 2, side // 2), place


def _unpooled(dy: Array, place: Array) -> Array:
    """Each gradient at the place of its maximum, 0 elsewhere."""
    n, c, p, q = dy.shape
    blocks = np.zeros((n, c, p * q, 4))
    np.put_along_axis(blocks, place[..., None], dy.reshape(n, c, -1, 1), axis=3)
    return blocks.reshape(n, c, p, q, 2, 2).transpose(0, 1, 2, 4, 3, 5)


def _given_back(dX: Array, shape: tuple[int, ...], size: tuple[int, int]) -> Array:
    """Every pixel gets the sum over the windows that read it."""
    n, c, h, w = shape
    p, q = h - size[0] + 1, w - size[1] + 1
    dx = np.zeros(shape)
    places = dX.reshape(n, c, *size, p, q)
    for i in range(size[0]):
        for j in range(size[1]):
            dx[:, :, i : i + p, j : j + q] += places[:, :, i, j]
    return dx


BY_HAND: dict[str, Callable[..., Result]] = {"tanh_mlp": tanh_mlp, "relu_mlp": relu_mlp, "convnet": convnet}
