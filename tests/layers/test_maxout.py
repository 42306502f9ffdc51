"""Greatest of several features."""

from __future__ import annotations

import numpy as np
import pytest
from laws import normal, run
from layer_laws import LayerLaws, checked

from gradcheck.layers.maxout import Maxout


class ToEveryone(Maxout):
    def backward(self, dy, cache):
        return np.repeat(dy, self.pool_size, axis=self.dim), {}


class ToTheFirst(Maxout):
    def backward(self, dy, cache):
        m, grouped, x_shape = cache
        return super().backward(dy, (np.zeros_like(m), grouped, x_shape))


class GroupsInterleaved(Maxout):
    def backward(self, dy, cache):
        dx, _ = super().backward(dy, cache)
        return dx.reshape(len(dx), -1, self.pool_size).swapaxes(1, 2).reshape(dx.shape), {}


class TestLaws(LayerLaws):
    cases = ((Maxout(2), (normal(3, 6),)), (Maxout(3, dim=1), (normal(2, 6, 2),)))
    mistakes = (
        (ToEveryone(3), (normal(3, 6),), ("input",)),
        (ToTheFirst(3), (normal(3, 6),), ("input",)),
        (GroupsInterleaved(2), (normal(3, 6),), ("input",)),
    )
    refused = ((Maxout(2), ((3, 5),), "needs places on axis -1 divisible by pool_size=2, got 5"),)

    def draw(self, rng):
        size, rank = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        dim = int(rng.integers(1, rank))
        shape = [int(n) * (size if axis == dim else 1) for axis, n in enumerate(rng.integers(1, 4, rank))]
        return Maxout(size, dim if rng.random() < 0.5 else dim - rank), (rng.standard_normal(shape),)

    def value(self, layer, x):
        x, k = np.moveaxis(x, layer.dim, -1), layer.pool_size
        y = np.zeros((*x.shape[:-1], x.shape[-1] // k))
        for *place, j in np.ndindex(*y.shape):
            y[(*place, j)] = max(x[(*place, j * k + i)] for i in range(k))
        return np.moveaxis(y, -1, layer.dim)


def test_a_tie_is_a_border_and_its_gradient_goes_to_the_first():
    x = np.array([[1.0, 1.0, 3.0, 4.0]])
    assert Maxout(2).branches(x).tolist() == [[-1, 1]]
    assert run(Maxout(2), x, dy=(np.ones((1, 2)),)).dx[0].tolist() == [[1, 0, 0, 1]]
    assert checked(Maxout(2), (np.zeros((2, 4)),)).verdict == "kink"


@pytest.mark.parametrize("size", [50.0, 1e300])
def test_any_size_is_taken(size):
    assert Maxout(2).forward(np.array([[size, -size]]))[0].tolist() == [[size]]
