"""What convolutions over one and three axes have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import numpy as np
from image_laws import image, read, several, whole
from layer_laws import Case, LayerLaws

from gradcheck.layers._base import Layer

Array = np.ndarray[Any, Any]


class ConvolutionLaws(LayerLaws):
    """Subclass as `TestLaws`."""

    kind: ClassVar[type[Layer]]
    rank: ClassVar[int]

    def draw(self, rng: np.random.Generator) -> Case:
        rank, kind, greatest = self.rank, self.kind, 3 if self.rank == 1 else 2
        make: Any = kind
        groups = whole(rng, 1, greatest)
        layer = make(
            groups * whole(rng, 1, 2), several(rng, rank, 1, greatest), several(rng, rank, 1, 2),
            several(rng, rank, 0, 1), several(rng, rank, 1, 2), groups, bool(rng.random() < 0.5),
        )  # fmt: skip
        x = image(rng, groups * whole(rng, 1, 2), layer, rank)
        return (layer, (x,)) if x.size < 90 else self.draw(rng)

    def value(self, layer: Any, *inputs: Array, **parameters: Array) -> Array:
        (x,), weight = inputs, parameters["weight"]
        y = np.zeros(laws.outputs(layer, x, **parameters)[0].shape)
        channels = weight.shape[1]
        for n, o, *window in np.ndindex(*y.shape):
            total = float(parameters["bias"][o]) if layer.bias else 0.0
            group = o // (layer.out_channels // layer.groups)
            for place, pixel in read(layer, tuple(window), x.shape[2:], weight.shape[2:]):
                for c in range(channels):
                    total += x[(n, group * channels + c, *pixel)] * weight[(o, c, *place)]
            y[(n, o, *window)] = total
        return y

    def test_parameters_are_drawn_within_one_over_the_root_of_what_an_output_reads(self):
        make: Any = self.kind
        drawn = make(6, 2, groups=2).init(np.random.default_rng(0), (1, 40, *[9] * self.rank))
        assert drawn["weight"].shape == (6, 20, *[2] * self.rank)
        bound = 1 / np.sqrt(20 * 2**self.rank)
        assert 0.9 * bound < np.abs(drawn["weight"]).max() <= bound
        assert np.abs(drawn["bias"]).max() <= bound
