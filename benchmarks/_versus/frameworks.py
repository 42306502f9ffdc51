"""What the networks need of each framework. `array` makes its arrays; the rest are functions of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[Any]


def windows(x: Array, size: tuple[int, int]) -> Array:
    """What a kernel of that size sees at each of its places: (N, C kh kw, P Q), a copy."""
    n, c, h, w = x.shape
    p, q = h - size[0] + 1, w - size[1] + 1
    view = as_strided(x, (n, c, *size, p, q), (*x.strides, *x.strides[2:]))
    return view.reshape(n, c * size[0] * size[1], p * q)


class Numpy:
    """numpy."""

    tanh = staticmethod(np.tanh)

    @staticmethod
    def array(a: Array) -> Array:
        """The array itself."""
        return a

    @staticmethod
    def relu(x: Array) -> Array:
        """max(x, 0)."""
        return np.maximum(x, 0.0)

    @staticmethod
    def conv2d(x: Array, K: Array, k: Array) -> Array:
        """K X + k with X the windows of x."""
        n, (h, w), size = len(x), x.shape[2:], K.shape[2:]
        y = K.reshape(len(K), -1) @ windows(x, size) + k[:, None]
        return y.reshape(n, len(K), h - size[0] + 1, w - size[1] + 1)

    @staticmethod
    def max_pool2d(x: Array) -> Array:
        """Maximum of each 2 × 2 block."""
        n, c, h, w = x.shape
        y: Array = x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
        return y

    @staticmethod
    def cross_entropy(logits: Array, target: Array) -> Any:
        """Mean of log Σ eᵖ − p_t."""
        z = logits - logits.max(axis=1, keepdims=True)
        return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), target]).mean()


class Torch:
    """torch, one thread."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.tanh, self.relu = torch.tanh, torch.relu
        self.conv2d, self.cross_entropy = torch.nn.functional.conv2d, torch.nn.functional.cross_entropy
        self._torch = torch

    def array(self, a: Array) -> Any:
        """A tensor of its own."""
        return self._torch.tensor(a)

    def max_pool2d(self, x: Any) -> Any:
        """Maximum of each 2 × 2 block."""
        return self._torch.nn.functional.max_pool2d(x, 2)


class Jax:
    """JAX in float64."""

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        self.tanh, self.relu, self.array = jax.numpy.tanh, jax.nn.relu, jax.numpy.asarray
        self._jax = jax

    def conv2d(self, x: Any, K: Any, k: Any) -> Any:
        """K X + k with X the windows of x."""
        return self._jax.lax.conv_general_dilated(x, K, (1, 1), "VALID") + k[:, None, None]

    def max_pool2d(self, x: Any) -> Any:
        """Maximum of each 2 × 2 block."""
        return self._jax.lax.reduce_window(x, -np.inf, self._jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def cross_entropy(self, logits: Any, target: Any) -> Any:
        """Mean of −log softmax(p)_t."""
        np_ = self._jax.numpy
        return -self._jax.nn.log_softmax(logits)[np_.arange(len(logits)), target].mean()


class Autograd:
    """autograd's numpy."""

    def __init__(self) -> None:
        import autograd.numpy  # type: ignore[import-not-found, unused-ignore]

        self._np = autograd.numpy
        self.tanh = autograd.numpy.tanh

    def array(self, a: Array) -> Array:
        """The array itself."""
        return a

    def relu(self, x: Any) -> Any:
        """max(x, 0)."""
        return self._np.maximum(x, 0.0)

    def conv2d(self, x: Any, K: Any, k: Any) -> Any:
        """K X + k with X the windows of x, gathered from the places of the kernel."""
        n, _, h, w = x.shape
        kh, kw = K.shape[2:]
        p, q = h - kh + 1, w - kw + 1
        places = [x[:, :, i : i + p, j : j + q] for i in range(kh) for j in range(kw)]
        X = self._np.stack(places, axis=2).reshape(n, -1, p * q)
        return (self._np.matmul(K.reshape(len(K), -1), X) + k[:, None]).reshape(n, len(K), p, q)

    def max_pool2d(self, x: Any) -> Any:
        """Maximum of each 2 × 2 block."""
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))

    def cross_entropy(self, logits: Any, target: Any) -> Any:
        """Mean of log Σ eᵖ − p_t."""
        z = logits - logits.max(axis=1, keepdims=True)
        return (self._np.log(self._np.exp(z).sum(axis=1)) - z[np.arange(len(z)), target]).mean()
