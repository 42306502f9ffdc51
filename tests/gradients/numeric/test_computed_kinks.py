"""A black box whose kink is met by computation: z = x - 0.5 is exactly 0 for one x, and not for its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import blamed, normal, told
from support import check

from gradcheck.findings import SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear


def bent(slope: float, method: str, factor: float = 1.0) -> SpecReport:
    """A ReLU that bends at 0.5, with a slope of choice there and a factor on the gradient of another entry."""

    class Bent(Layer):
        def forward(self, x: Any) -> Any:
            z = x - 0.5
            return np.where(z.real > 0, z, 0), z

        def backward(self, dy: Any, z: Any) -> Any:
            dx = np.where(z > 0, dy, np.where(z < 0, 0, slope * dy))
            dx[2, 2:] *= factor
            return dx, {}

    x = normal(5, 3)
    x[0, 0], x[2, 2] = 0.5, 2.0
    return check(Bent(), Linear(2), x=x, checks=["gradient"], method=method)


@pytest.mark.parametrize("method", ["auto", "central"])
def test_one_entry_at_the_kink_is_one_entry(method: str) -> None:
    report = bent(1.0, method)
    assert not report.findings, told(report)
    assert report.counts.kink <= 1, told(report)
    assert report.counts.inconclusive == 0, told(report)


@pytest.mark.parametrize("method", ["auto", "central"])
def test_slope_outside_fails(method: str) -> None:
    report = bent(7.0, method)
    assert blamed(report) == [("bent_1", "input")], told(report)


@pytest.mark.parametrize("method", ["auto", "central"])
def test_mistake_in_another_entry_is_not_hidden(method: str) -> None:
    report = bent(1.0, method, factor=1.5)
    assert blamed(report) == [("bent_1", "input")], told(report)
    assert report.counts.fail == 1, told(report)
