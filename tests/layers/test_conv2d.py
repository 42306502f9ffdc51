from __future__ import annotations

from dataclasses import replace
from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_laws import entries
from support import ALL, check

from gradcheck.layers.conv2d import Conv2d

LAYERS = {
    "kernel 2 x 3": (Conv2d(2, (2, 3)), laws.normal(2, 1, 4, 5)),
    "stride with a remainder": (Conv2d(2, (2, 3), stride=(2, 3)), laws.normal(2, 2, 5, 7)),
    "padding": (Conv2d(1, 3, padding=(2, 1)), laws.normal(2, 2, 2, 4)),
    "dilation": (Conv2d(2, (3, 2), dilation=(2, 3), bias=False), laws.normal(2, 1, 6, 5)),
    "two groups, all together": (
        Conv2d(4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        laws.normal(2, 4, 4, 3),
    ),
    "depthwise": (Conv2d(6, 2, groups=3), laws.normal(2, 3, 3, 4)),
    "one by one, every second column": (Conv2d(3, 1, stride=(1, 2)), laws.normal(2, 2, 2, 4)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class UnflippedKernel(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, X, weight, has_bias = cache
        dx, _ = super().backward(dy, (x_shape, X, weight[..., ::-1, ::-1], has_bias))
        return dx, super().backward(dy, cache)[1]


class StrideIgnored(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        return Conv2d.backward(replace(self, stride=1), dy, cache)


class DilationIgnored(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        return Conv2d.backward(replace(self, dilation=1), dy, cache)


class PaddingNotCutOff(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        n, c, h, w = cache[0]
        padded = (n, c, h + 2 * self.padding, w + 2 * self.padding)
        dx, gradients = Conv2d.backward(replace(self, padding=0), dy, (padded, *cache[1:]))
        return dx[:, :, :h, :w], gradients


class LastPlaceDropped(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, X, weight, has_bias = cache
        without = weight.copy()
        without[..., -1, -1] = 0
        dx, _ = super().backward(dy, (x_shape, X, without, has_bias))
        return dx, super().backward(dy, cache)[1]


class InputOfOtherGroup(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return np.roll(dx, dx.shape[1] // self.groups, axis=1), gradients


class WeightOfOtherGroup(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        other = np.roll(gradients["weight"], self.out_channels // self.groups, axis=0)
        return dx, {**gradients, "weight": other}


class KernelAxesSwapped(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"].swapaxes(2, 3)}


class WeightOfLastSample(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        x_shape, X, weight, has_bias = cache
        dx, gradients = super().backward(dy, cache)
        _, last = super().backward(dy[-1:], ((1, *x_shape[1:]), X[-1:], weight, has_bias))
        return dx, {**gradients, "weight": last["weight"]}


class BiasOfOnePixel(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": dy[:, :, 0, 0].sum(axis=0)}


class BiasNotSummed(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": dy}


class AveragedOverPixels(Conv2d):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        pixels = dy.shape[2] * dy.shape[3]
        return dx, {name: gradient / pixels for name, gradient in gradients.items()}


@pytest.mark.parametrize(
    ("wrong", "channels", "named"),
    [
        (UnflippedKernel(2, 2), 1, ["input"]),
        (StrideIgnored(2, 2, stride=2), 1, ["input"]),
        (DilationIgnored(2, 2, dilation=2), 1, ["input"]),
        (PaddingNotCutOff(2, 3, padding=1), 1, ["input"]),
        (LastPlaceDropped(2, (2, 3)), 1, ["input"]),
        (InputOfOtherGroup(4, 2, groups=2), 2, ["input"]),
        (WeightOfOtherGroup(4, 2, groups=2), 2, ["weight"]),
        (KernelAxesSwapped(2, 2), 1, ["weight"]),
        (WeightOfLastSample(2, 2), 1, ["weight"]),
        (BiasOfOnePixel(2, 2), 1, ["bias"]),
        (BiasNotSummed(2, 2), 1, ["bias"]),
        (AveragedOverPixels(2, 2), 1, ["weight", "bias"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Conv2d) else None,
)
def test_planted_mistake_is_named(wrong: Conv2d, channels: int, named: list[str]) -> None:
    x = laws.normal(2, channels, 4, 5)
    report = check(wrong, x=x, checks=["gradient"], trusted=True, entries=entries(wrong, [x], named))
    for parameter in named:
        laws.assert_caught(report, wrong, parameter)


def test_mistake_is_not_blamed_on_the_convolution_before_it() -> None:
    report = check(Conv2d(2, 2), UnflippedKernel(2, 2), x=laws.normal(2, 1, 4, 5), checks=["gradient"], trusted=True)
    laws.assert_caught(report, "unflipped_kernel_1")
    guilty = {finding.layer for finding in report.findings if finding.consequence_of is None}
    assert guilty == {"unflipped_kernel_1"}


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Conv2d, x: Any) -> None:
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
def convolutions(draw: st.DrawFn) -> tuple[Conv2d, Any]:
    """A layer without a bias, and images that hold at least its kernel."""
    groups = draw(st.integers(1, 3))
    kernel, padding, dilation = draw(pairs(1, 3)), draw(pairs(0, 2)), draw(pairs(1, 2))
    layer = Conv2d(groups * draw(st.integers(1, 2)), kernel, draw(pairs(1, 3)), padding, dilation, groups, bias=False)
    sizes = [
        max(1, d * (k - 1) + 1 - 2 * p + draw(st.integers(0, 3)))
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    ]
    n, channels = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    return layer, laws.normal(n, channels, *sizes, seed=draw(st.integers(0, 99)))


@laws.few
@given(convolutions())
def test_without_bias_it_is_linear_in_the_input(drawn: tuple[Conv2d, Any]) -> None:
    layer, x = drawn
    laws.upstream_times_output_is_gradient_times_input(layer, x, **laws.drawn(layer, x))


@laws.few
@given(convolutions())
def test_any_options_say_what_loops_say(drawn: tuple[Conv2d, Any]) -> None:
    layer, x = drawn
    laws.assert_matches_reference(layer, reference(layer), x, **laws.drawn(layer, x))


# References -----------------------------------------------------------------------------------------------------------


def both(option: Any) -> Any:
    return option if isinstance(option, tuple) else (option, option)


def reference(layer: Conv2d) -> Any:
    (kh, kw), (sh, sw) = both(layer.kernel_size), both(layer.stride)
    (ph, pw), (dh, dw) = both(layer.padding), both(layer.dilation)

    def loops(x: Any, dy: Any, weight: Any, bias: Any = None) -> Any:
        y, dx, dW = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(weight.shape)
        db = np.zeros(layer.out_channels)
        channels = x.shape[1] // layer.groups
        for n, o, p, q in np.ndindex(*dy.shape):
            y[n, o, p, q] += 0 if bias is None else bias[o]
            db[o] += dy[n, o, p, q]
            group = o // (layer.out_channels // layer.groups)
            for c, i, j in np.ndindex(channels, kh, kw):
                row, column = p * sh + i * dh - ph, q * sw + j * dw - pw
                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                    pixel = (n, group * channels + c, row, column)
                    y[n, o, p, q] += x[pixel] * weight[o, c, i, j]
                    dx[pixel] += dy[n, o, p, q] * weight[o, c, i, j]
                    dW[o, c, i, j] += dy[n, o, p, q] * x[pixel]
        return y, dx, {"weight": dW} if bias is None else {"weight": dW, "bias": db}

    return loops


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_says_what_loops_say(layer: Conv2d, x: Any) -> None:
    laws.assert_matches_reference(layer, reference(layer), x, **laws.drawn(layer, x))


@pytest.mark.torch
def test_parameters_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = torch.nn.Conv2d(4, 6, (3, 2), groups=2)
    drawn = Conv2d(6, (3, 2), groups=2).init(np.random.default_rng(0), (1, 4, 5, 5))
    assert {k: a.shape for k, a in drawn.items()} == {k: tuple(p.shape) for k, p in module.named_parameters()}


def test_parameters_are_drawn_within_one_over_the_root_of_what_an_output_reads() -> None:
    drawn = Conv2d(6, (5, 2), groups=2).init(np.random.default_rng(0), (1, 20, 9, 9))
    assert 0.09 < np.abs(drawn["weight"]).max() <= 0.1
    assert 0 < np.abs(drawn["bias"]).max() <= 0.1


# Complex numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", ["x", "weight", "bias"])
def test_imaginary_part_is_carried_to_the_last_digits(moved: str) -> None:
    layer, x = LAYERS["two groups, all together"]
    arguments = {"x": x, **laws.drawn(layer, x)}
    direction = laws.normal(*arguments[moved].shape, seed=1)
    (y,) = laws.outputs(layer, **{**arguments, moved: arguments[moved] + 1e-30j * direction})
    (plain,) = laws.outputs(layer, **arguments)
    (ahead,) = laws.outputs(layer, **{**arguments, moved: arguments[moved] + direction})
    laws.close(y.real, plain, "the real part", rtol=1e-15)
    laws.close(y.imag / 1e-30, ahead - plain, "the imaginary part", rtol=1e-14)


@pytest.mark.parametrize(
    ("x_type", "weight_type", "expected"),
    [
        ("complex64", "float32", "complex64"),
        ("complex64", "float64", "complex128"),
        ("complex128", "float32", "complex128"),
    ],
)
def test_mixed_precisions_give_the_finer_one(x_type: str, weight_type: str, expected: str) -> None:
    layer = Conv2d(2, 2, bias=False)
    x, weight = laws.normal(1, 1, 3, 4).astype(x_type), laws.normal(2, 1, 2, 2).astype(weight_type)
    (y,) = laws.outputs(layer, x, weight=weight)
    assert y.dtype == expected
    laws.close(y, laws.outputs(layer, x.astype(complex), weight=weight.astype(complex))[0], "y", rtol=1e-6)


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x_shape", "message"),
    [
        (Conv2d(2, 3), (3, 10), "needs an input (N, C, H, W), got (3, 10)"),
        (Conv2d(2, (3, 2)), (1, 1, 2, 9), "needs padded images of at least 3 x 2 pixels, got 2 x 9 for (1, 1, 2, 9)"),
        (
            Conv2d(2, 3, dilation=(1, 3), padding=(0, 1)),
            (1, 1, 9, 4),
            "needs padded images of at least 3 x 7 pixels, got 9 x 6 for (1, 1, 9, 4)",
        ),
        (Conv2d(4, 1, groups=2), (1, 3, 2, 2), "needs input channels divisible by groups=2, got 3"),
        (Conv2d(3, 1, groups=2), (1, 4, 2, 2), "needs out_channels divisible by groups=2, got 3"),
    ],
)
def test_shape_is_refused(layer: Conv2d, x_shape: tuple[int, ...], message: str) -> None:
    laws.assert_refuses(layer, x_shape, message=message)


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_shape_is_accepted(layer: Conv2d, x: Any) -> None:
    layer.check(x.shape)


def test_options_of_a_spec() -> None:
    options = {"out_channels": 2, "kernel_size": [2, 3], "stride": 2, "padding": [0, 1]}
    assert msgspec.convert(options, Conv2d) == Conv2d(2, (2, 3), 2, (0, 1))


@pytest.mark.parametrize(
    "option",
    [
        {"kernel_size": 0},
        {"kernel_size": [2, 0]},
        {"kernel_size": [2]},
        {"kernel_size": [1, 2, 3]},
        {"kernel_size": 1.5},
        {"stride": [0, 1]},
        {"dilation": 0},
        {"padding": [-1, 0]},
        {"groups": 0},
        {"out_channels": 0},
    ],
    ids=str,
)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert({"out_channels": 2, "kernel_size": 2, **option}, Conv2d)
