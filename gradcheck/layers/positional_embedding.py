"""A learned vector for every place of a sequence (Gehring et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class PositionalEmbedding(Layer):
    """A learned vector for every place of a sequence, added to it (Gehring et al. 2017; BERT and GPT have the same).

    forward     y[n, t]  = x[n, t] + W[t]       x, y (N, T, D)      weight W (V, D),  V = num_embeddings ≥ T

    backward    dx = dy                         dx   (N, T, D)
                dW[t] = Σ dy[n, t]              dW   (V, D)         summed over N; 0 for t ≥ T

    verified    a composition with torch.nn.functional.embedding; obvious loops

    W is drawn from the standard normal distribution, as that of an embedding.
    """

    num_embeddings: Annotated[int, Meta(ge=1)]

    def check(self, *x_shapes: Shape) -> None:
        """A sequence no longer than the table."""
        if len(x_shapes[0]) != 3:
            raise ShapeError(f"needs a sequence (N, T, features), got {x_shapes[0]}")
        if x_shapes[0][1] > self.num_embeddings:
            raise ShapeError(f"needs at most num_embeddings={self.num_embeddings} steps, got {x_shapes[0][1]}")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weight (V, D), standard normal."""
        return {"weight": rng.standard_normal((self.num_embeddings, x_shapes[0][2]))}

    def forward(self, x: Array, weight: Array) -> tuple[Array, Any]:
        """y = x + W[:T]."""
        return x + weight[: x.shape[1]], None

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = dy, dW[:T] = Σ dy."""
        dW = np.zeros((self.num_embeddings, dy.shape[2]), dy.dtype)
        dW[: dy.shape[1]] = dy.sum(axis=0)
        return dy, {"weight": dW}
