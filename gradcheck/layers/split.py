"""One input in several parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape
from gradcheck.layers._inner_axis import require_inner_axis

Size = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class Split(Layer):
    """Parts of the input along one axis, each an output of its own; by default the first axis behind the batch.

    forward     [y₁ y₂ …] = x       x  (N, ..., S, ...)   yₖ (N, ..., Sₖ, ...)   S = S₁ + S₂ + …

    backward    dx = [dy₁ dy₂ …]    dx (N, ..., S, ...)

    verified    torch.split; obvious loops

    The axis is `dim`. split_size_or_sections is the list of the sizes Sₖ, or one number: then every part has that size,
    and the last is what remains. Later layers take `split_1.0`, `split_1.1`, … by name, or all of them as `split_1`.
    """

    split_size_or_sections: Size | Annotated[tuple[Size, ...], Meta(min_length=2)]
    dim: int = 1

    def check(self, *x_shapes: Shape) -> None:
        """The axis exists, is not that of the batch, and has as many places as two or more parts take."""
        require_inner_axis(self.dim, x_shapes[0])
        size, sections = x_shapes[0][self.dim], self.split_size_or_sections
        if isinstance(sections, int):
            if sections >= size:
                raise ShapeError(f"needs parts smaller than the {size} places of axis {self.dim}, got size {sections}")
        elif sum(sections) != size:
            sizes = " + ".join(map(str, sections))
            raise ShapeError(f"needs parts of {size} places in all, those of axis {self.dim}, got {sizes}")

    def forward(self, x: Array) -> tuple[tuple[Array, ...], Any]:
        """[y₁ y₂ …] = x."""
        size, sections = x.shape[self.dim], self.split_size_or_sections
        ends = range(sections, size, sections) if isinstance(sections, int) else np.cumsum(sections)[:-1]
        return tuple(np.split(x, ends, axis=self.dim)), None

    def backward(self, dy: tuple[Array, ...], cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = [dy₁ dy₂ …]."""
        return np.concatenate(dy, axis=self.dim), {}
