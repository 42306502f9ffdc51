"""Normalisation of the last axes."""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import msgspec
import numpy as np
import pytest
from core_nets import verdict
from hypothesis import strategies as st
from norm_laws import NormLaws, head
from support import check

from gradcheck.layers.layer_norm import LayerNorm


def sizes(layer: LayerNorm) -> tuple[int, ...]:
    shape = layer.normalized_shape
    return (shape,) if isinstance(shape, int) else shape


class TestLaws(NormLaws):
    cases: ClassVar = {
        "rows": (LayerNorm(4), laws.normal(4, 4)),
        "sequences": (LayerNorm((4,)), laws.normal(2, 3, 4)),
        "two axes, a great eps": (LayerNorm((2, 3), eps=0.5), laws.normal(3, 2, 3)),
        "no bias": (LayerNorm(3, bias=False), laws.normal(3, 3)),
        "not affine": (LayerNorm((2, 2), elementwise_affine=False), laws.normal(2, 2, 2, 2)),
    }
    other_axes = (0,)

    def group(self, layer, index):
        return index[: -len(sizes(layer))]

    def place(self, layer, index):
        return index[-len(sizes(layer)) :]

    def axes(self, layer, x):
        return tuple(range(x.ndim - len(sizes(layer)), x.ndim))

    def along(self, array, ndim):
        return array

    def draw(self, draw):
        leading = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
        shape = draw(st.integers(2, 4)) if draw(st.booleans()) else (draw(st.integers(1, 3)), draw(st.integers(2, 3)))
        layer = LayerNorm(shape, draw(st.sampled_from([1e-5, 0.1])), draw(st.booleans()), draw(st.booleans()))
        return layer, laws.normal(*leading, *sizes(layer), seed=draw(st.integers(0, 99)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_samples_are_not_coupled(dtype: str) -> None:
    x = laws.normal(3, 2, 4)
    assert verdict(check(LayerNorm(4), *head(x), x=x, dtype=dtype), "per_sample") == "pass"


# What is cheap to say of perturbed copies -----------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-3, 1e-30j], ids=["real", "complex"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_perturbed_is_forward_with_the_entry_moved(name: str, shape: tuple[int, ...], unit: complex) -> None:
    layer, x = LayerNorm(4), laws.normal(*shape)
    parameters = laws.drawn(layer, x)
    entries, steps = np.nonzero(np.ones(4)), unit * np.arange(1, 5)
    (y,) = laws.outputs(layer, x, **parameters)
    found = layer.perturbed(name, entries, steps, x, **parameters).moved(y)
    for k, step in enumerate(steps):
        moved = parameters[name].astype(steps.dtype)
        moved[k] += step
        (expected,) = laws.outputs(layer, x, **{**parameters, name: moved})
        laws.close(found[k].real, expected.real, "the real part", rtol=1e-14)
        laws.close(found[k].imag, expected.imag, "the imaginary part", rtol=1e-14)


def test_several_normalised_axes_are_left_to_forward() -> None:
    layer, x = LayerNorm((2, 3)), laws.normal(4, 2, 3)
    assert layer.perturbed("weight", np.nonzero(np.ones((2, 3))), np.ones(6), x) is None


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (LayerNorm(4), (3, 5), "needs an input (N, ..., 4), got (3, 5)"),
        (LayerNorm(4), (4,), "needs an input (N, ..., 4), got (4,)"),
        (LayerNorm((3, 4)), (2, 4, 3), "needs an input (N, ..., 3, 4), got (2, 4, 3)"),
        (LayerNorm((3, 4)), (3, 4), "needs an input (N, ..., 3, 4), got (3, 4)"),
    ],
)
def test_shape_is_refused(layer: LayerNorm, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


def test_options_of_a_spec() -> None:
    assert msgspec.convert({"normalized_shape": 4}, LayerNorm) == LayerNorm(4)
    options = {"normalized_shape": [2, 3], "eps": 1e-3, "elementwise_affine": False}
    assert msgspec.convert(options, LayerNorm) == LayerNorm((2, 3), 1e-3, False)


@pytest.mark.parametrize(
    "option", [{"normalized_shape": 0}, {"normalized_shape": []}, {"eps": 0.0}, {"elementwise_affine": 1}], ids=str
)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert({"normalized_shape": 2, **option}, LayerNorm)
