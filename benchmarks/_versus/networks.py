"""The networks of the workloads, written once for every framework, as its users would write them.

`xp` is a framework (frameworks.py): a few functions of arrays. Parameters are taken by position, in the order of the
spec, so that nothing stands between a checker and the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Objective = Callable[..., Any]


def tanh_mlp(xp: Any, x: Any, target: Any) -> Objective:
    """Mean of (tanh(x W₁ + b₁) W₂ + b₂ − t)² over all elements."""

    def loss(W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        return ((xp.tanh(x @ W1 + b1) @ W2 + b2 - target) ** 2).mean()

    return loss


def relu_mlp(xp: Any, x: Any, target: Any) -> Objective:
    """Cross-entropy of relu(x W₁ + b₁) W₂ + b₂, mean over samples."""

    def loss(W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        return xp.cross_entropy(xp.relu(x @ W1 + b1) @ W2 + b2, target)

    return loss


def convnet(xp: Any, x: Any, target: Any) -> Objective:
    """Cross-entropy after convolution, pooling by twos, convolution, and two linear layers; ReLU between them."""

    def loss(K1: Any, k1: Any, K2: Any, k2: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        image = xp.max_pool2d(xp.relu(xp.conv2d(x, K1, k1)))
        features = xp.relu(xp.conv2d(image, K2, k2)).reshape(len(x), -1)
        return xp.cross_entropy(xp.relu(features @ W1 + b1) @ W2 + b2, target)

    return loss


STRUCTURES: dict[str, Callable[[Any, Any, Any], Objective]] = {
    "tanh_mlp": tanh_mlp,
    "relu_mlp": relu_mlp,
    "convnet": convnet,
}
