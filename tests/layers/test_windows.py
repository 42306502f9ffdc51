from __future__ import annotations

import itertools
from typing import Any

import laws
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.errors import ShapeError
from gradcheck.layers._windows import Windows, pair
from gradcheck.layers.avg_pool2d import AvgPool2d
from gradcheck.layers.max_pool2d import MaxPool2d


def pairs(least: int, greatest: int) -> Any:
    return st.tuples(st.integers(least, greatest), st.integers(least, greatest))


@st.composite
def windows_on_images(draw: st.DrawFn) -> tuple[Windows, Any]:
    windows = Windows(draw(pairs(1, 3)), draw(pairs(1, 3)), draw(pairs(0, 2)), draw(pairs(1, 2)))
    sizes = [max(1, e - 2 * p + draw(st.integers(0, 3))) for e, p in zip(windows.extent, windows.padding, strict=True)]
    return windows, laws.normal(draw(st.integers(1, 2)), 2, *sizes, seed=draw(st.integers(0, 99)))


@laws.few
@given(windows_on_images())
def test_giving_back_is_the_adjoint_of_reading(drawn: tuple[Windows, Any]) -> None:
    windows, x = drawn
    places = np.stack(windows.places(x))
    values = laws.normal(*places.shape, seed=1)
    laws.close((windows.give_back(values, x.shape) * x).sum(), (values * places).sum(), "Σ x Σ dX", rtol=1e-12)


@laws.few
@given(windows_on_images())
def test_places_are_what_is_read_in_rows(drawn: tuple[Windows, Any]) -> None:
    windows, x = drawn
    read = windows.read(x, 7)
    n, c, kh, kw, p, q = read.shape
    assert (kh, kw) == windows.kernel
    np.testing.assert_array_equal(np.stack(windows.places(x, 7), axis=2), read.reshape(n, c, kh * kw, p, q))


@laws.few
@given(windows_on_images())
def test_pixels_and_padding_fill_the_windows(drawn: tuple[Windows, Any]) -> None:
    windows, x = drawn
    padding = (np.stack(windows.places(np.zeros(x.shape), 1)) == 1).sum(axis=0)
    assert (windows.pixels(x.shape) + padding == windows.kernel[0] * windows.kernel[1]).all()


def test_windows_of_an_image() -> None:
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    read = Windows(kernel=(2, 2), stride=(1, 2), padding=(0, 1), dilation=(2, 1)).read(x)
    np.testing.assert_array_equal(read[0, 0, :, :, 0, 0], [[0, 0], [0, 8]])
    np.testing.assert_array_equal(read[0, 0, :, :, 0, 1], [[1, 2], [9, 10]])
    assert read.shape == (1, 1, 2, 2, 1, 3)
    assert not read.flags.writeable


def test_view_of_a_transposed_image_is_read_right() -> None:
    x = laws.normal(3, 2, 5, 4).transpose(1, 0, 3, 2)
    windows = Windows((2, 3), (1, 2), (0, 0), (1, 1))
    np.testing.assert_array_equal(windows.read(x), windows.read(np.ascontiguousarray(x)))


def test_pair_is_vertical_and_horizontal() -> None:
    assert pair(2) == (2, 2)
    assert pair((2, 3)) == (2, 3)


@pytest.mark.torch
def test_pooling_refuses_what_torch_refuses() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    functional, refused = torch.nn.functional, 0
    for h, w, k, p, d in itertools.product((1, 2, 5), (1, 4), (1, 2, 3), (0, 1, 2), (1, 2, 3)):
        x = torch.zeros(1, 1, h, w)
        taken = [_finite(lambda x=x, k=k, p=p, d=d: functional.max_pool2d(x, k, 1, p, d))]
        layers: list[Any] = [MaxPool2d(k, 1, p, d)]
        if d == 1:
            taken.append(_finite(lambda x=x, k=k, p=p: functional.avg_pool2d(x, k, 1, p)))
            layers.append(AvgPool2d(k, 1, p))
        for layer, expected in zip(layers, taken, strict=True):
            assert _accepts(layer, (1, 1, h, w)) == expected, f"{layer} on {h} x {w}"
            refused += not expected
    assert refused > 10


def _finite(pooling: Any) -> bool:
    try:
        return bool(pooling().isfinite().all())
    except RuntimeError:
        return False


def _accepts(layer: Any, shape: tuple[int, ...]) -> bool:
    try:
        layer.check(shape)
    except ShapeError:
        return False
    return True
