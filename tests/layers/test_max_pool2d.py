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

from gradcheck.layers.max_pool2d import MaxPool2d

LAYERS = {
    "windows side by side": (MaxPool2d((2, 3)), laws.normal(2, 2, 4, 6)),
    "a remainder": (MaxPool2d(2), laws.normal(2, 2, 5, 7)),
    "overlapping": (MaxPool2d((3, 2), stride=(1, 1)), laws.normal(2, 1, 4, 5)),
    "padding": (MaxPool2d((2, 3), stride=(1, 2), padding=(1, 0)), -np.abs(laws.normal(2, 1, 4, 5))),
    "dilation": (MaxPool2d((2, 3), 1, (1, 1), (3, 2)), laws.normal(2, 1, 5, 6)),
    "hanging over the edge": (MaxPool2d((2, 3), None, (0, 1), ceil_mode=True), laws.normal(2, 1, 3, 4)),
    "one by one": (MaxPool2d(1, stride=(2, 1)), laws.normal(2, 1, 3, 4)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class OverlapsOverwritten(MaxPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, m = cache
        (kh, kw), (sh, sw) = self.kernel_size, self.stride
        dx = np.zeros(x_shape)
        for n, c, p, q in np.ndindex(*dy.shape):
            window = np.where(m[n, c, p, q] == np.arange(kh * kw), dy[n, c, p, q], 0).reshape(kh, kw)
            dx[n, c, p * sh : p * sh + kh, q * sw : q * sw + kw] = window
        return dx, {}


class EveryTie(MaxPool2d):
    def forward(self, x: Any) -> Any:
        y, cache = super().forward(x)
        return y, (*cache, y, x)

    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, _, y, x = cache
        attained = [np.where(place == y, dy, 0) for place in self._windows.places(x)]
        return self._windows.give_back(attained, x_shape), {}


class ColumnsFirst(MaxPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, m = cache
        kh, kw = self.kernel_size
        return super().backward(dy, (x_shape, m % kw * kh + m // kw))


class NextPlace(MaxPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, m = cache
        kh, kw = self.kernel_size
        return super().backward(dy, (x_shape, (m + 1) % (kh * kw)))


class LastWindowDropped(MaxPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, m = cache
        return super().backward(dy[..., :-1], (x_shape, m[..., :-1]))


class StrideIgnored(MaxPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        return MaxPool2d.backward(replace(self, stride=1), dy, cache)


class DividedByWindow(MaxPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        kh, kw = self.kernel_size
        return super().backward(dy / (kh * kw), cache)


class WindowOfOtherSample(MaxPool2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, m = cache
        return super().backward(dy, (x_shape, m[::-1]))


@pytest.mark.parametrize(
    "wrong",
    [
        OverlapsOverwritten((2, 3), (1, 1)),
        ColumnsFirst((2, 3)),
        NextPlace((2, 2)),
        LastWindowDropped((2, 2)),
        StrideIgnored((2, 2)),
        DividedByWindow((2, 2)),
        WindowOfOtherSample((2, 2)),
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_planted_mistake_is_named(wrong: MaxPool2d) -> None:
    laws.assert_caught(check(wrong, x=laws.normal(2, 1, 4, 6), checks=["gradient"], trusted=True), wrong, "input")


def test_gradient_to_every_tie_is_named() -> None:
    x = laws.normal(2, 1, 4, 4)
    x[0, 0, 0, 0] = x[0, 0, 1, 1] = 3
    laws.assert_caught(check(EveryTie(2), x=x), "every_tie_1", "input")


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: MaxPool2d, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


def test_gradient_to_the_first_tie_is_no_mistake() -> None:
    report = check(MaxPool2d(2, stride=1), x=np.zeros((2, 1, 3, 3)))
    assert report.verdict == "kink"
    assert report.counts.fail == report.counts.inconclusive == 0


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


def pairs(least: int, greatest: int) -> Any:
    return st.tuples(st.integers(least, greatest), st.integers(least, greatest))


@st.composite
def poolings(draw: st.DrawFn) -> tuple[MaxPool2d, Any]:
    """A layer, and images of few different values (so that there are ties) that hold at least its window."""
    kernel, dilation = draw(pairs(1, 3)), draw(pairs(1, 2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    layer = MaxPool2d(kernel, draw(st.none() | pairs(1, 3)), padding, dilation, draw(st.booleans()))
    sizes = [d * (k - 1) + 1 + draw(st.integers(0, 3)) for k, d in zip(kernel, dilation, strict=True)]
    x = laws.normal(draw(st.integers(1, 2)), 2, *sizes, seed=draw(st.integers(0, 99)))
    return layer, np.round(x, draw(st.integers(0, 8)))


@laws.few
@given(poolings())
def test_scaled_images_have_scaled_maxima(drawn: tuple[MaxPool2d, Any]) -> None:
    laws.upstream_times_output_is_gradient_times_input(*drawn)


@laws.few
@given(poolings())
def test_any_options_say_what_loops_say(drawn: tuple[MaxPool2d, Any]) -> None:
    layer, x = drawn
    laws.assert_matches_reference(layer, reference(layer), x)


# References -----------------------------------------------------------------------------------------------------------


def both(option: Any) -> Any:
    return option if isinstance(option, tuple) else (option, option)


def reference(layer: MaxPool2d) -> Any:
    (kh, kw), (sh, sw) = both(layer.kernel_size), both(layer.stride or layer.kernel_size)
    (ph, pw), (dh, dw) = both(layer.padding), both(layer.dilation)

    def loops(x: Any, dy: Any) -> Any:
        y, dx = np.zeros(dy.shape), np.zeros(x.shape)
        for n, c, p, q in np.ndindex(*dy.shape):
            best = None
            for i, j in np.ndindex(kh, kw):
                row, column = p * sh + i * dh - ph, q * sw + j * dw - pw
                inside = 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
                if inside and (best is None or x[n, c, row, column] > x[best]):
                    best = (n, c, row, column)
            assert best is not None
            y[n, c, p, q] = x[best]
            dx[best] += dy[n, c, p, q]
        return y, dx, {}

    return loops


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_says_what_loops_say(layer: MaxPool2d, x: Any) -> None:
    laws.assert_matches_reference(layer, reference(layer), x)


@pytest.mark.torch
def test_ties_go_to_the_pixel_that_torch_gives_them_to() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer, x = MaxPool2d(3, 1, 1), np.zeros((2, 1, 3, 4))
    laws.assert_matches_torch(layer, lambda x: torch.nn.functional.max_pool2d(x, 3, 1, 1), x)


# Branches, ties, NaN --------------------------------------------------------------------------------------------------

IMAGE = np.array([[0.0, 1, 5, 5], [2, 3, 5, 1], [4, 4, 0, 9]])


def test_branch_is_the_place_of_the_maximum_and_negative_at_a_tie() -> None:
    for x in (IMAGE, IMAGE + 1e-30j * laws.normal(*IMAGE.shape)):
        taken = MaxPool2d(2, stride=1).branches(x[None, None])
        np.testing.assert_array_equal(taken, [[[[3, -1 - 1, -1 - 0], [-1 - 2, 1, 3]]]])


def test_padding_is_no_tie() -> None:
    taken = MaxPool2d(2, padding=1).branches(np.full((1, 1, 2, 2), -1e300))
    np.testing.assert_array_equal(taken, [[[[3, 2], [1, 0]]]])


def test_complex_step_at_a_tie_is_told_what_backward_says() -> None:
    layer, x, dy = MaxPool2d(2, stride=1), IMAGE[None, None], laws.normal(1, 1, 2, 3)
    dx = laws.run(layer, x, dy=(dy,)).dx[0]
    for sign in (1, -1):
        slopes = np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            stepped = x.astype(complex)
            stepped[index] += sign * 1e-30j
            slopes[index] = (dy * laws.outputs(layer, stepped)[0].imag).sum() / (sign * 1e-30)
        laws.close(slopes, dx, "the complex step")


@pytest.mark.parametrize("place", range(4))
def test_nan_stays_nan(place: int) -> None:
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    x.flat[place] = np.nan
    assert np.isnan(laws.outputs(MaxPool2d(2), x)[0]).all()


def test_whole_numbers_have_whole_maxima() -> None:
    (y,) = laws.outputs(MaxPool2d(2, padding=1), np.arange(4).reshape(1, 1, 2, 2))
    np.testing.assert_array_equal(y, [[[[0, 1], [2, 3]]]])


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (MaxPool2d(2), (3, 10), "needs an input (N, C, H, W), got (3, 10)"),
        (MaxPool2d((3, 2)), (1, 1, 2, 9), "needs padded images of at least 3 x 2 pixels, got 2 x 9 for (1, 1, 2, 9)"),
        (
            MaxPool2d(3, padding=(1, 2)),
            (1, 1, 9, 9),
            "needs a padding of at most half its kernel of 3 x 3, got 1 x 2",
        ),
        (
            MaxPool2d(2, 1, 1, 3),
            (1, 1, 2, 5),
            "needs a pixel of the image in every window, got one of padding alone on 2 x 5 pixels",
        ),
    ],
)
def test_shape_is_refused(layer: MaxPool2d, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_shape_is_accepted(layer: MaxPool2d, x: Any) -> None:
    layer.check(x.shape)


def test_options_of_a_spec() -> None:
    options = {"kernel_size": [2, 3], "stride": 2, "padding": [0, 1]}
    assert msgspec.convert(options, MaxPool2d) == MaxPool2d((2, 3), 2, (0, 1))
    assert msgspec.convert({"kernel_size": 2, "stride": None}, MaxPool2d) == MaxPool2d(2)


@pytest.mark.parametrize(
    "option",
    [{"kernel_size": [2, 0]}, {"kernel_size": [2]}, {"stride": 0}, {"padding": -1}, {"dilation": [1, 0]}],
    ids=str,
)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert({"kernel_size": 2, **option}, MaxPool2d)
