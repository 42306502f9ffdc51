"""What max and average poolings have in common, over one axis or two."""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import numpy as np
from image_laws import each, image, read, several
from layer_laws import Case, LayerLaws

from gradcheck.layers._base import Layer

Array = np.ndarray[Any, Any]


class PoolingLaws(LayerLaws):
    """Subclass as `TestLaws`, and say in `of` what one number is made of those that a window reads."""

    kind: ClassVar[type[Layer]]
    rank: ClassVar[int]

    def of(self, layer: Any, numbers: list[float], window: tuple[int, ...], sizes: tuple[int, ...]) -> float:
        raise NotImplementedError

    def drawn_options(self, rng: np.random.Generator) -> dict[str, Any]:
        raise NotImplementedError

    def draw(self, rng: np.random.Generator) -> Case:
        kernel = several(rng, self.rank, 1, 3)
        stride = several(rng, self.rank, 1, 3) if rng.random() < 0.7 else None
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in each(kernel, self.rank))
        options = {**self.drawn_options(rng), "ceil_mode": bool(rng.random() < 0.5)}
        kind: Any = self.kind
        layer = kind(kernel, stride, padding[0] if self.rank == 1 else padding, **options)
        x = image(rng, 2, layer, self.rank)
        if x.size > 90 or not layer._windows.pixels(x.shape).all():
            return self.draw(rng)
        return layer, (x,)

    def value(self, layer: Any, *inputs: Array, **parameters: Array) -> Array:
        (x,) = inputs
        (y,) = laws.outputs(layer, x)
        expected, sizes = np.zeros((*x.shape[:2], *self.counts(layer, x.shape[2:]))), x.shape[2:]
        assert y.shape == expected.shape
        for n, c, *window in np.ndindex(*y.shape):
            numbers = [float(x[(n, c, *pixel)]) for _, pixel in read(layer, tuple(window), sizes)]
            expected[(n, c, *window)] = self.of(layer, numbers, tuple(window), sizes)
        return expected

    def counts(self, layer: Any, sizes: tuple[int, ...]) -> list[int]:
        """How many windows there are, found by moving one along: it fits, or is the one that may hang over the edge."""
        counts = []
        for axis, size in enumerate(sizes):
            kernel, stride, padding, dilation = (
                each(option, self.rank)[axis]
                for option in (
                    layer.kernel_size, layer.stride or layer.kernel_size, layer.padding, getattr(layer, "dilation", 1),
                )
            )  # fmt: skip
            extent, count = dilation * (kernel - 1) + 1, 0
            while count * stride + extent <= size + 2 * padding:
                count += 1
            hangs_over = (count - 1) * stride + extent < size + 2 * padding and count * stride < size + padding
            counts.append(count + (layer.ceil_mode and hangs_over))
        return counts
