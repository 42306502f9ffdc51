"""Mean along one or several axes."""

from __future__ import annotations

import numpy as np
from laws import normal
from reduction_laws import ReductionLaws, reductions

from gradcheck.layers.mean import Mean


class NotDivided(Mean):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] * cache[self.dim], {}


class DividedByTheBatchToo(Mean):
    def backward(self, dy, cache):
        return super().backward(dy, cache)[0] / cache[0], {}


class SpreadAlongAnotherAxis(Mean):
    def backward(self, dy, cache):
        return np.broadcast_to(dy[:, None, :] / cache[-1], cache), {}


class TestLaws(ReductionLaws):
    kind = Mean
    cases = reductions(Mean)
    mistakes = (
        (NotDivided(), (normal(3, 4),), ("input",)),
        (DividedByTheBatchToo(), (normal(3, 4),), ("input",)),
        (SpreadAlongAnotherAxis(), (normal(2, 3, 3),), ("input",)),
    )

    def of(self, layer, numbers):
        return sum(numbers) / len(numbers)
