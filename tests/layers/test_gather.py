"""Entries of the first input, chosen along an axis by the second."""

from __future__ import annotations

import numpy as np
import pytest
from laws import normal, run
from layer_laws import LayerLaws

from gradcheck.errors import ShapeError
from gradcheck.layers.gather import Gather


class RepetitionsOverwritten(Gather):
    def backward(self, dy, cache):
        x_shape, index = cache
        dx = np.zeros(x_shape)
        np.put_along_axis(dx, index, dy, self.dim)
        return (dx, None), {}


class ScatteredInOrder(Gather):
    def backward(self, dy, cache):
        x_shape, index = cache
        return super().backward(dy, (x_shape, np.sort(index, axis=self.dim)))


class OtherSample(Gather):
    def backward(self, dy, cache):
        x_shape, index = cache
        return super().backward(dy, (x_shape, index[::-1]))


PAIR = normal(2, 3), np.array([[2, 0, 2, 1], [1, 1, 0, 1]])


class TestLaws(LayerLaws):
    cases = (
        (Gather(), PAIR),
        (Gather(dim=-1), (normal(2, 2, 3), np.array([[[0], [2]], [[2], [1]]]))),
    )
    mistakes = (
        (RepetitionsOverwritten(), PAIR, ("a",)),
        (ScatteredInOrder(), PAIR, ("a",)),
        (OtherSample(), PAIR, ("a",)),
    )
    refused = (
        (Gather(), ((2, 3, 4), (2, 3)), "needs inputs that are equal in every axis but 1, got (2, 3, 4) and (2, 3)"),
        (
            Gather(2),
            ((2, 3, 4), (2, 2, 4)),
            "needs inputs that are equal in every axis but 2, got (2, 3, 4) and (2, 2, 4)",
        ),
        (Gather(0), ((2, 3), (2, 3)), "needs one of the axes 1, -1 for an input (2, 3), got axis 0"),
    )

    def draw(self, rng):
        shape = rng.integers(1, 4, int(rng.integers(2, 5)))
        dim = int(rng.integers(1, len(shape)))
        chosen = shape.copy()
        chosen[dim] = rng.integers(1, 5)
        return Gather(dim), (rng.standard_normal(shape), rng.integers(0, shape[dim], chosen))

    def value(self, layer, x, index):
        y = np.zeros(index.shape)
        for place in np.ndindex(*y.shape):
            source = list(place)
            source[layer.dim] = index[place]
            y[place] = x[tuple(source)]
        return y


@pytest.mark.parametrize(
    ("index", "found"), [(np.array([[0, 3, 0, 0]]), "3"), (np.array([[-1]]), "-1"), (np.array([[0.5]]), "float64")]
)
def test_what_is_no_place_is_refused(index, found):
    with pytest.raises(ShapeError, match=f"needs integers from 0 to 2 as its second input, got {found}"):
        run(Gather(), normal(1, 3), index)
