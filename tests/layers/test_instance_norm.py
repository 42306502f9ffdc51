"""Normalisation of each channel of each sample."""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import msgspec
import pytest
from core_nets import errors, notes, verdict
from hypothesis import strategies as st
from norm_laws import NormLaws, head
from support import check

from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.instance_norm import InstanceNorm


class TestLaws(NormLaws):
    cases: ClassVar = {
        "sequences": (InstanceNorm(affine=True), laws.normal(3, 2, 4)),
        "images": (InstanceNorm(affine=True), laws.normal(2, 2, 2, 3)),
        "not affine, a great eps": (InstanceNorm(eps=0.5), laws.normal(2, 2, 3)),
        "no bias": (InstanceNorm(affine=True, bias=False), laws.normal(2, 3, 3)),
    }
    other_axes = (1, 2)

    def group(self, layer, index):
        return index[:2]

    def place(self, layer, index):
        return index[1:2]

    def axes(self, layer, x):
        return tuple(range(2, x.ndim))

    def along(self, array, ndim):
        return array.reshape(-1, *[1] * (ndim - 2))

    def draw(self, draw):
        behind = draw(st.lists(st.integers(1, 3), max_size=1))
        shape = [draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(2, 4)), *behind]
        layer = InstanceNorm(draw(st.sampled_from([1e-5, 0.1])), draw(st.booleans()), draw(st.booleans()))
        return layer, laws.normal(*shape, seed=draw(st.integers(0, 99)))


# Samples --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bias_before_it_is_vacuous_and_not_wrong(dtype: str) -> None:
    x = laws.normal(3, 2, 4, 3)
    report = check(Conv2d(3, 2), InstanceNorm(), *head(x), x=x, dtype=dtype)
    laws.assert_no_false_alarm(report)
    assert errors(report) == []
    assert notes(report) == [("GC601", "conv2d_1.bias")]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_samples_are_not_coupled(dtype: str) -> None:
    x = laws.normal(3, 2, 4)
    assert verdict(check(InstanceNorm(affine=True), *head(x), x=x, dtype=dtype), "per_sample") == "pass"


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x_shape", "message"),
    [
        ((4, 3), "needs an input (N, C, L, ...), got (4, 3)"),
        ((4, 3, 1), "needs more than one number in each channel of a sample (N, C, L, ...), got (4, 3, 1)"),
    ],
)
def test_shape_is_refused(x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(InstanceNorm(), x_shape, message=message)


def test_options_of_a_spec() -> None:
    assert msgspec.convert({}, InstanceNorm) == InstanceNorm(1e-5, False, True)
    assert msgspec.convert({"affine": True, "bias": False}, InstanceNorm) == InstanceNorm(affine=True, bias=False)


@pytest.mark.parametrize("option", [{"eps": 0.0}, {"affine": 1}], ids=str)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert(option, InstanceNorm)
