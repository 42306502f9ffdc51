"""Sum along one or several axes."""

from __future__ import annotations

import numpy as np
from laws import normal
from reduction_laws import ReductionLaws, reductions

from gradcheck.layers.sum import Sum


class Averaged(Sum):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / cache[self.dim], {}


class ToTheFirst(Sum):
    def backward(self, dy, cache):
        dx = np.zeros(cache)
        dx[..., 0] = dy
        return dx, {}


class SpreadAlongAnotherAxis(Sum):
    def backward(self, dy, cache):
        return np.broadcast_to(dy[:, None, :], cache), {}


class TestLaws(ReductionLaws):
    kind = Sum
    cases = reductions(Sum)
    mistakes = (
        (Averaged(), (normal(3, 4),), ("input",)),
        (ToTheFirst(), (normal(3, 4),), ("input",)),
        (SpreadAlongAnotherAxis(), (normal(2, 3, 3),), ("input",)),
    )

    def of(self, layer, numbers):
        return sum(numbers)
