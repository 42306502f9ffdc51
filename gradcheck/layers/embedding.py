"""Rows of a table, looked up by integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._columns import Columns


@dataclass(frozen=True)
class Embedding(Layer):
    """Rows of a table, looked up by integers: the vectors of words.

    forward     y = W[i]             i (N, ...) integers from 0 to V − 1    weight W (V, D)    y (N, ..., D)
                y = 0                where i = padding_idx

    backward    dW[v] = Σ_{i=v} dy   dW (V, D)   summed over every place of v; 0 for an unused row and for padding_idx

    verified    torch.nn.functional.embedding; obvious loops

    V = num_embeddings, D = embedding_dim. Integers have no gradient. The row padding_idx is never read, which makes 0
    its derivative. PyTorch does read it, and says 0 by decree; with the row of zeros that both start from, the outputs
    are equal. The other rows are drawn from the standard normal distribution, PyTorch's default.
    """

    num_embeddings: Annotated[int, Meta(ge=1)]
    embedding_dim: Annotated[int, Meta(ge=1)]
    padding_idx: int | None = None

    def check(self, *x_shapes: Shape) -> None:
        """A padding_idx that is a row of the table."""
        V, p = self.num_embeddings, self.padding_idx
        if p is not None and not -V <= p < V:
            raise ShapeError(f"needs a padding_idx from {-V} to {V - 1} for num_embeddings={V}, got {p}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (V, D), standard normal; the row padding_idx is zero."""
        weight = rng.standard_normal((self.num_embeddings, self.embedding_dim))
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        return {"weight": weight}

    def forward(self, ids: Array, weight: Array) -> tuple[Array, Any]:
        """y = W[i], 0 where i = padding_idx."""
        self._require_rows(ids)
        y = weight[ids]
        return np.where(self._is_read(ids)[..., None], y, 0), (ids, weight.shape)

    def backward(self, dy: Array, cache: Any) -> tuple[None, dict[str, Array]]:
        """dW[v] = Σ_{i=v} dy."""
        ids, shape = cache
        read = self._is_read(ids)
        dW = np.zeros(shape, dy.dtype)
        np.add.at(dW, ids[read], dy[read])
        return None, {"weight": dW}

    def perturbed(self, name: str, entries: tuple[Array, ...], steps: Array, x: Array, **parameters: Any) -> Columns:
        """W[v, j] + δ moves column j of y by δ wherever i = v."""
        row, column = entries
        rows, each = (array.reshape(-1, *[1] * x.ndim) for array in (row, steps))
        moves = each * ((x == rows) & self._is_read(x))
        return Columns(x.ndim, column, moves[..., None])

    def _is_read(self, ids: Array) -> Array:
        """Where the table is read: everywhere but at padding_idx."""
        if self.padding_idx is None:
            return np.ones(ids.shape, bool)
        return np.asarray(ids != self.padding_idx % self.num_embeddings)

    def _require_rows(self, ids: Array) -> None:
        """Raise ShapeError unless every id is the number of a row."""
        V = self.num_embeddings
        if ids.dtype.kind not in "iu":
            raise ShapeError(f"needs integers from 0 to {V - 1}, got {ids.dtype}")
        wrong = ids[(ids < 0) | (ids >= V)]
        if wrong.size:
            raise ShapeError(f"needs integers from 0 to {V - 1} for num_embeddings={V}, got {wrong.flat[0]}")
