"""Maximum along one or several axes."""

from __future__ import annotations

import numpy as np
from laws import normal, run
from layer_laws import checked
from reduction_laws import ReductionLaws, reductions

from gradcheck.layers.max import Max


class ToEveryone(Max):
    def backward(self, dy, cache):
        return np.broadcast_to(dy[..., None], cache[1]), {}


class ToTheLast(Max):
    def backward(self, dy, cache):
        m, x_shape = cache
        return super().backward(dy, (np.full_like(m, x_shape[-1] - 1), x_shape))


class OfAnotherSample(Max):
    def backward(self, dy, cache):
        m, x_shape = cache
        return super().backward(dy, (m[::-1], x_shape))


class TestLaws(ReductionLaws):
    kind = Max
    cases = reductions(Max)
    mistakes = (
        (ToEveryone(), (normal(3, 4),), ("input",)),
        (ToTheLast(), (normal(3, 4),), ("input",)),
        (OfAnotherSample(), (normal(3, 4),), ("input",)),
    )

    def of(self, layer, numbers):
        return max(numbers)


def test_a_tie_is_a_border_and_its_gradient_goes_to_the_first():
    x = np.array([[1.0, 2.0, 2.0], [5.0, 4.0, 3.0]])
    assert Max().branches(x).tolist() == [-2, 0]
    assert run(Max(), x, dy=(np.ones(2),)).dx[0].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert checked(Max(), (np.zeros((2, 3)),)).verdict == "kink"


def test_any_size_and_nan_are_taken():
    assert Max().forward(np.array([[-1e300, 1e300], [1.0, np.nan]]))[0].tolist()[0] == 1e300
    assert np.isnan(Max().forward(np.array([[1.0, np.nan]]))[0]).all()
