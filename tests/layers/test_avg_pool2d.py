from __future__ import annotations

from dataclasses import replace
from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers.avg_pool2d import AvgPool2d

LAYERS = {
    "windows side by side": (AvgPool2d((2, 3)), laws.normal(2, 2, 4, 6)),
    "a remainder": (AvgPool2d(2), laws.normal(2, 2, 5, 7)),
    "overlapping": (AvgPool2d((3, 2), stride=(1, 1)), laws.normal(2, 1, 4, 5)),
    "padding counted": (AvgPool2d((2, 3), stride=(1, 2), padding=(1, 0)), laws.normal(2, 1, 4, 5)),
    "padding not counted": (AvgPool2d((2, 3), (2, 1), 1, count_include_pad=False), laws.normal(2, 1, 3, 4)),
    "hanging over the edge": (AvgPool2d((2, 3), (3, 2), (0, 1), ceil_mode=True), laws.normal(2, 1, 3, 4)),
    "one by one": (AvgPool2d(1, stride=(2, 1)), laws.normal(2, 1, 3, 4)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class NotDivided(AvgPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        kh, kw = self.kernel_size
        return super().backward(dy * kh * kw, cache)


class OverlapsOverwritten(AvgPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        (kh, kw), (sh, sw) = self.kernel_size, self.stride
        dx = np.zeros(cache)
        for n, c, p, q in np.ndindex(*dy.shape):
            dx[n, c, p * sh : p * sh + kh, q * sw : q * sw + kw] = dy[n, c, p, q] / (kh * kw)
        return dx, {}


class StrideIgnored(AvgPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        return AvgPool2d.backward(replace(self, stride=1), dy, cache)


class FirstPixelOnly(AvgPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx = np.zeros(cache)
        dx[:, :, :: self.stride[0], :: self.stride[1]] = dy
        return dx, {}


class KernelAxesSwapped(AvgPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        n, c, h, w = cache
        swapped = replace(self, kernel_size=self.kernel_size[::-1], stride=self.stride)
        dx, _ = AvgPool2d.backward(swapped, dy, (n, c, h + 1, w + 1))
        return dx[:, :, :h, :w], {}


class PaddingCounted(AvgPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        return AvgPool2d.backward(replace(self, count_include_pad=True), dy, cache)


class LastWindowDropped(AvgPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        last = np.zeros_like(dy)
        last[..., -1] = dy[..., -1]
        return super().backward(dy - last, cache)


@pytest.mark.parametrize(
    "wrong",
    [
        NotDivided((2, 3)),
        OverlapsOverwritten((2, 3), (1, 1)),
        StrideIgnored((2, 2)),
        FirstPixelOnly((2, 2), (2, 2)),
        KernelAxesSwapped((2, 3), (1, 1)),
        PaddingCounted((2, 2), padding=1, count_include_pad=False),
        LastWindowDropped((2, 2)),
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_planted_mistake_is_named(wrong: AvgPool2d) -> None:
    laws.assert_caught(check(wrong, x=laws.normal(2, 1, 4, 6), checks=["gradient"], trusted=True), wrong, "input")


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: AvgPool2d, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


def pairs(least: int, greatest: int) -> Any:
    return st.tuples(st.integers(least, greatest), st.integers(least, greatest))


@st.composite
def poolings(draw: st.DrawFn) -> tuple[AvgPool2d, Any]:
    """A layer, and images that hold at least its window."""
    kernel = draw(pairs(1, 3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    layer = AvgPool2d(kernel, draw(st.none() | pairs(1, 3)), padding, draw(st.booleans()), draw(st.booleans()))
    sizes = [k + draw(st.integers(0, 3)) for k in kernel]
    return layer, laws.normal(draw(st.integers(1, 2)), 2, *sizes, seed=draw(st.integers(0, 99)))


@laws.few
@given(poolings())
def test_it_is_linear_in_the_input(drawn: tuple[AvgPool2d, Any]) -> None:
    laws.upstream_times_output_is_gradient_times_input(*drawn)


@laws.few
@given(poolings())
def test_any_options_say_what_loops_say(drawn: tuple[AvgPool2d, Any]) -> None:
    layer, x = drawn
    laws.assert_matches_reference(layer, reference(layer), x)


@laws.few
@given(poolings())
def test_mean_of_a_constant_is_the_constant(drawn: tuple[AvgPool2d, Any]) -> None:
    layer, x = drawn
    (y,) = laws.outputs(replace(layer, count_include_pad=False), np.full(x.shape, 3.0))
    laws.close(y, np.full(y.shape, 3.0), "the mean")


# References -----------------------------------------------------------------------------------------------------------


def both(option: Any) -> Any:
    return option if isinstance(option, tuple) else (option, option)


def reference(layer: AvgPool2d) -> Any:
    (kh, kw), (sh, sw) = both(layer.kernel_size), both(layer.stride or layer.kernel_size)
    ph, pw = both(layer.padding)

    def loops(x: Any, dy: Any) -> Any:
        y, dx = np.zeros(dy.shape), np.zeros(x.shape)
        for n, c, p, q in np.ndindex(*dy.shape):
            seen = []
            for i, j in np.ndindex(kh, kw):
                row, column = p * sh + i - ph, q * sw + j - pw
                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                    seen.append((n, c, row, column))
            rows, columns = (
                min(w * s + k, size + 2 * a) - w * s
                for w, s, k, size, a in ((p, sh, kh, x.shape[2], ph), (q, sw, kw, x.shape[3], pw))
            )
            count = rows * columns if layer.count_include_pad else len(seen)
            for pixel in seen:
                y[n, c, p, q] += x[pixel] / count
                dx[pixel] += dy[n, c, p, q] / count
        return y, dx, {}

    return loops


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_says_what_loops_say(layer: AvgPool2d, x: Any) -> None:
    laws.assert_matches_reference(layer, reference(layer), x)


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (AvgPool2d(2), (3, 10), "needs an input (N, C, H, W), got (3, 10)"),
        (AvgPool2d((3, 2)), (1, 1, 2, 9), "needs padded images of at least 3 x 2 pixels, got 2 x 9 for (1, 1, 2, 9)"),
        (
            AvgPool2d((3, 2), padding=(2, 1)),
            (1, 1, 9, 9),
            "needs a padding of at most half its kernel of 3 x 2, got 2 x 1",
        ),
    ],
)
def test_shape_is_refused(layer: AvgPool2d, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_shape_is_accepted(layer: AvgPool2d, x: Any) -> None:
    layer.check(x.shape)


def test_options_of_a_spec() -> None:
    options = {"kernel_size": [2, 3], "stride": 2, "padding": [0, 1], "count_include_pad": False}
    assert msgspec.convert(options, AvgPool2d) == AvgPool2d((2, 3), 2, (0, 1), False)


@pytest.mark.parametrize(
    "option", [{"kernel_size": [2, 0]}, {"stride": 0}, {"padding": -1}, {"count_include_pad": 1}], ids=str
)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert({"kernel_size": 2, **option}, AvgPool2d)
