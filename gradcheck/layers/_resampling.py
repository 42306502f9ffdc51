"""What layers have in common whose output pixels are weighted means of input pixels, rows and columns apart."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from gradcheck.layers._base import Array, Layer, Shape


class Resampling(Layer):
    """y = A x Bᵀ of each image, with fixed matrices A (P, H) and B (Q, W)."""

    @abstractmethod
    def _matrices(self, x_shape: Shape) -> tuple[Array, Array]:
        """A and B, in float64."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = A x Bᵀ."""
        A, B = (matrix.astype(x.real.dtype) for matrix in self._matrices(x.shape))
        return A @ x @ B.T, x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = Aᵀ dy B."""
        A, B = (matrix.astype(dy.dtype) for matrix in self._matrices(cache))
        return A.T @ dy @ B, {}
