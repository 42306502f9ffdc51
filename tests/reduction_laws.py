"""What sum, mean, max and norm have in common: axes that are taken away or kept with length 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from laws import normal
from layer_laws import Case, LayerLaws

from gradcheck.layers._base import Layer

Array = np.ndarray[Any, Any]


class ReductionLaws(LayerLaws):
    """Subclass as `TestLaws`, and say in `of` what one number is made of a list of them."""

    kind: ClassVar[Callable[..., Layer]]

    def of(self, layer: Any, numbers: list[float]) -> float:
        raise NotImplementedError

    def drawn_options(self, rng: np.random.Generator) -> dict[str, Any]:
        return {}

    def draw(self, rng: np.random.Generator) -> Case:
        rank = int(rng.integers(2, 5))
        dims = [int(axis) - rank * int(rng.integers(2)) for axis in rng.permutation(np.arange(1, rank))]
        dim = dims[0] if rng.random() < 0.5 else tuple(dims[: int(rng.integers(1, rank))])
        layer = type(self).kind(dim=dim, keepdim=bool(rng.random() < 0.5), **self.drawn_options(rng))
        return layer, (rng.standard_normal(rng.integers(1, 4, rank)),)

    def value(self, layer: Any, *inputs: Array, **parameters: Array) -> Array:
        (x,) = inputs
        dims = {axis % x.ndim for axis in (layer.dim if isinstance(layer.dim, tuple) else (layer.dim,))}
        y = np.zeros([1 if axis in dims else size for axis, size in enumerate(x.shape)])
        for place in np.ndindex(*y.shape):
            numbers = [
                float(x[index])
                for index in np.ndindex(*x.shape)
                if all(i == j for axis, (i, j) in enumerate(zip(index, place, strict=True)) if axis not in dims)
            ]
            y[place] = self.of(layer, numbers)
        return y if layer.keepdim else y.squeeze(tuple(dims))

    def test_axes_are_refused_in_words(self):
        refusals = {
            0: "needs one of the axes 1, 2, -2, -1 for an input (3, 4, 5), got axis 0",
            (1, -2): "needs at least one axis, and none twice, got [1, -2]",
            (): "needs at least one axis, and none twice, got []",
        }
        self.refused = [(type(self).kind(dim=dim), ((3, 4, 5),), message) for dim, message in refusals.items()]
        self.test_shapes_are_refused()


def reductions(kind: Callable[..., Layer], **options: Any) -> tuple[Case, ...]:
    """The cases that matter for every reduction."""
    return (
        (kind(**options), (normal(3, 4),)),
        (kind(dim=1, keepdim=True, **options), (normal(2, 3, 2),)),
        (kind(dim=(1, -1), **options), (normal(2, 2, 3, 2),)),
        (kind(dim=(-1, 1, 2), **options), (normal(2, 2, 1, 3),)),
    )
