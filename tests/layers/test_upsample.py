"""Images of other sizes."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.upsample import Upsample


class FirstCopyOnly(Upsample):
    def backward(self, dy, cache):
        return dy[:, :, :: self.scale_factor, :: self.scale_factor], {}


class CopiesAveraged(Upsample):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / self.scale_factor**2, {}


class NearestInstead(Upsample):
    def backward(self, dy, cache):
        return Upsample.backward(replace(self, mode="nearest", align_corners=False), dy, cache)


class CornersElsewhere(Upsample):
    def backward(self, dy, cache):
        return Upsample.backward(replace(self, align_corners=not self.align_corners), dy, cache)


X = normal(2, 1, 3, 3)


class TestLaws(LayerLaws):
    cases = (
        (Upsample(scale_factor=2), (normal(2, 2, 2, 3),)),
        (Upsample(size=(5, 2)), (X,)),
        (Upsample(scale_factor=(2, 3), mode="bilinear"), (normal(2, 1, 2, 3),)),
        (Upsample(size=(5, 4), mode="bilinear", align_corners=True), (X,)),
    )
    mistakes = (
        (FirstCopyOnly(scale_factor=2), (X,), ("input",)),
        (CopiesAveraged(scale_factor=2), (X,), ("input",)),
        (NearestInstead(scale_factor=2, mode="bilinear"), (X,), ("input",)),
        (CornersElsewhere(scale_factor=2, mode="bilinear"), (X,), ("input",)),
    )
    refused = (
        (Upsample(2), ((3, 10),), "needs an input (N, C, H, W), got (3, 10)"),
        (Upsample(), ((1, 1, 2, 2),), "needs size or scale_factor, one of them and not both"),
        (Upsample(2, 2), ((1, 1, 2, 2),), "needs size or scale_factor, one of them and not both"),
        (
            Upsample(2, align_corners=True),
            ((1, 1, 2, 2),),
            "needs mode bilinear for align_corners, got nearest",
        ),
    )

    def draw(self, rng):
        size = tuple(int(n) for n in rng.integers(1, 6, 2))
        mode = "bilinear" if rng.random() < 0.7 else "nearest"
        corners = bool(mode == "bilinear" and rng.random() < 0.5)
        given = {"size": size} if rng.random() < 0.5 else {"scale_factor": (min(size[0], 3), min(size[1], 2))}
        return Upsample(**given, mode=mode, align_corners=corners), (
            rng.standard_normal((1, 2, *rng.integers(1, 4, 2))),
        )

    def value(self, layer, x):
        h, w = x.shape[2:]
        factor = layer.scale_factor
        factor = factor if isinstance(factor, tuple) else (factor, factor)
        P, Q = layer.size or (h * factor[0], w * factor[1])
        y = np.zeros((*x.shape[:2], P, Q))
        for p, q in np.ndindex(P, Q):
            for row, a in self.weights(layer, p, h, P):
                for column, b in self.weights(layer, q, w, Q):
                    y[:, :, p, q] += a * b * x[:, :, row, column]
        return y

    def weights(self, layer, place, old, new):
        if layer.mode == "nearest":
            return [(math.floor(place * old / new), 1.0)]
        at = place * (old - 1) / max(new - 1, 1) if layer.align_corners else max((place + 0.5) * old / new - 0.5, 0)
        before = min(math.floor(at), old - 1)
        return [(before, 1 - (at - before)), (min(before + 1, old - 1), at - before)]


def test_options_of_a_spec():
    assert msgspec.convert({"size": [2, 3], "mode": "bilinear"}, Upsample) == Upsample((2, 3), mode="bilinear")
    for wrong in ({"size": 0}, {"scale_factor": 1.5}, {"size": 2, "mode": "bicubic"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Upsample)
