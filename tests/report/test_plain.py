"""What JSON does not have becomes words and lists."""

from __future__ import annotations

import math

import numpy as np

from gradcheck.report._plain import plain


def test_numbers_that_json_does_not_have() -> None:
    assert plain([math.nan, math.inf, -math.inf, 1.5]) == ["nan", "inf", "-inf", 1.5]


def test_numpy_and_nested_values() -> None:
    value = {1: (np.float64(2.0), np.int64(3), np.array([[1.0, np.nan]])), "x": {"y": None, "z": True}}
    assert plain(value) == {"1": [2.0, 3, [[1.0, "nan"]]], "x": {"y": None, "z": True}}
