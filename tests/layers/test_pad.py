"""Margins around the last axes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from laws import normal
from layer_laws import LayerLaws

from gradcheck.layers.pad import Pad


class MarginsSwapped(Pad):
    def backward(self, dy, cache):
        return Pad(self.pad[::-1], self.mode).backward(dy, cache)


class AxesSwapped(Pad):
    def backward(self, dy, cache):
        return Pad(self.pad[2:] + self.pad[:2], self.mode).backward(dy, cache)


class MirrorForgotten(Pad):
    def backward(self, dy, cache):
        return Pad(self.pad).backward(dy, cache)


class EdgeInsteadOfMirror(Pad):
    def backward(self, dy, cache):
        return Pad(self.pad, "replicate").backward(dy, cache)


class TestLaws(LayerLaws):
    cases = (
        (Pad((1, 2), value=0.5), (normal(2, 3),)),
        (Pad((0, 2, 1, 0)), (normal(2, 1, 2, 3),)),
        (Pad((2, 1), "reflect"), (normal(2, 3),)),
        (Pad((1, 3, 2, 0), "replicate"), (normal(2, 2, 2),)),
        (Pad((2, 1), "circular"), (normal(2, 2, 2),)),
    )
    mistakes = (
        (MarginsSwapped((0, 2)), (normal(3, 4),), ("input",)),
        (AxesSwapped((0, 1, 1, 0)), (normal(2, 3, 3),), ("input",)),
        (MirrorForgotten((2, 2), "reflect"), (normal(3, 4),), ("input",)),
        (EdgeInsteadOfMirror((2, 1), "reflect"), (normal(3, 4),), ("input",)),
    )
    refused = (
        (
            Pad((1, 1, 1, 1)),
            ((2, 5),),
            "needs two margins for each of at most 1 axes of an input (2, 5), got [1, 1, 1, 1]",
        ),
        (Pad((1, 1, 1)), ((2, 5),), "needs two margins for each of at most 1 axes of an input (2, 5), got [1, 1, 1]"),
        (
            Pad((0, 5), "reflect"),
            ((2, 5),),
            "needs margins of at most 4 for mode reflect on axis 1, which has 5 places, got 5",
        ),
        (
            Pad((6, 0), "circular"),
            ((2, 5),),
            "needs margins of at most 5 for mode circular on axis 1, which has 5 places, got 6",
        ),
    )

    def draw(self, rng):
        rank = int(rng.integers(3, 5))
        pad = tuple(int(n) for n in rng.integers(0, 3, 2 * (rank - 2)))
        mode = str(rng.choice(["constant", "reflect", "replicate", "circular"]))
        value = float(rng.normal()) if mode == "constant" else 0.0
        return Pad(pad, mode, value), (rng.standard_normal((1, 2, *rng.integers(3, 5, rank - 2))),)

    def value(self, layer, x):
        y = x
        for k in range(len(layer.pad) // 2):
            before, after = layer.pad[2 * k : 2 * k + 2]
            rows, axis = np.moveaxis(y, -1 - k, 0), y.ndim - 1 - k
            parts = [self.place(layer, rows, place) for place in range(-before, len(rows) + after)]
            y = np.stack(parts, axis=axis)
        return y

    def place(self, layer, rows, place):
        size = len(rows)
        if 0 <= place < size:
            return rows[place]
        if layer.mode == "constant":
            return np.full(rows.shape[1:], layer.value)
        mirrored = -place if place < 0 else 2 * (size - 1) - place
        return rows[
            {"reflect": mirrored, "replicate": min(max(place, 0), size - 1), "circular": place % size}[layer.mode]
        ]


def test_options_of_a_spec():
    assert msgspec.convert({"pad": [1, 0], "mode": "reflect"}, Pad) == Pad((1, 0), "reflect")
    for wrong in ({"pad": [1]}, {"pad": [-1, 0]}, {"pad": [1, 1], "mode": "mirror"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Pad)
