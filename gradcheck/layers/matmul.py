"""Product of two matrices, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._several_inputs import two


@dataclass(frozen=True)
class Matmul(Layer):
    """Product of the matrices of two inputs, sample by sample.

    forward     y  = a b           a (N, ..., I, K)    b (N, ..., K, J)    y (N, ..., I, J)

    backward    da = dy bᵀ         da (N, ..., I, K)
                db = aᵀ dy         db (N, ..., K, J)

    verified    torch.matmul; obvious loops

    With transpose_b the second input is bᵀ (N, ..., J, K), so y = a bᵀ: the scores of queries a and keys b.
    The axes before the last two are equal in both inputs; nothing is broadcast.
    """

    transpose_b: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """Two stacks of matrices, equally many, that can be multiplied."""
        a, b = two(x_shapes)
        inner = b[-1 if self.transpose_b else -2] if len(b) > 2 else None
        if len(a) < 3 or a[:-2] != b[:-2] or a[-1] != inner:
            second = "(N, ..., J, K)" if self.transpose_b else "(N, ..., K, J)"
            raise ShapeError(f"needs inputs (N, ..., I, K) and {second}, got {a} and {b}")

    def forward(self, a: Array, b: Array) -> tuple[Array, Any]:
        """y = a b."""
        b = b.mT if self.transpose_b else b
        return a @ b, (a, b)

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array, Array], dict[str, Array]]:
        """da = dy bᵀ, db = aᵀ dy."""
        a, b = cache
        db = a.mT @ dy
        return (dy @ b.mT, db.mT if self.transpose_b else db), {}
