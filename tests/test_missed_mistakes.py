"""Wrong backwards that ties, kinks, scales and precisions could hide, and innocent layers beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_nets import Array, blamed, errors, graph, normal, notes, plug, row, told, wrong
from support import case, check

from gradcheck.cli import main
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.pipeline import check_case

ONLY = {"checks": ("gradient",)}
H = 2.0**-17  # the usual step of a central difference at scale 1


# Ties: the shares that a backward hands out add up to the upstream gradient, whatever is tied.
class MaxOfTwo(Layer):
    """max(a, b) of two inputs; at a tie each gets all, or none gets anything."""

    keep = True

    def forward(self, a: Array, b: Array) -> Any:
        return np.where(a.real >= b.real, a, b), (a, b)

    def backward(self, dy: Array, cache: Any) -> Any:
        a, b = cache
        return (dy * ((a > b) | (self.keep & (a == b))), dy * ((b > a) | (self.keep & (a == b)))), {}


class LosingMaxOfTwo(MaxOfTwo):
    """The same, but at a tie the gradient is lost."""

    keep = False


@pytest.mark.parametrize("layer", [MaxOfTwo, LosingMaxOfTwo])
def test_a_tie_between_two_inputs_is_handed_out_once(layer: type[Layer]) -> None:
    a, b = normal(3, 4), normal(3, 4, seed=1)
    a[0] = b[0] = 0
    report = check(layer(), x={"a": a, "b": b}, **ONLY)
    assert errors(report), told(report)


class TiedParameters(Layer):
    """y = x (1 + max(w₀, w₁)), both drawn as 0: each gets all."""

    def init(self, rng: np.random.Generator, x_shape: Any) -> dict[str, Array]:
        return {"w": np.zeros(2)}

    def forward(self, x: Array, w: Array) -> Any:
        m = w[0] if w[0].real >= w[1].real else w[1]
        return x * (1 + m), (x, w, m)

    def backward(self, dy: Array, cache: Any) -> Any:
        x, w, m = cache
        return dy * (1 + m), {"w": (dy * x).sum() * (w == m)}


def test_a_tie_between_parameters_is_handed_out_once() -> None:
    report = check(TiedParameters(), x=normal(3, 4), **ONLY)
    assert errors(report), told(report)


class MaxOverBatch(Layer):
    """x minus the maximum over the batch: at a tie among the samples each gets all."""

    def forward(self, x: Array) -> Any:
        first = x.real.argmax(axis=0)
        return x * x - x[first, np.arange(x.shape[1])], x

    def backward(self, dy: Array, x: Array) -> Any:
        return 2 * x * dy - (x == x.max(axis=0)) * dy.sum(axis=0), {}


def test_a_tie_between_samples_is_handed_out_once() -> None:
    x = normal(3, 4)
    x[:2, 1] = 3
    report = check(MaxOverBatch(), x=x, **ONLY)
    assert errors(report), told(report)


class GreatestError(Loss):
    """Σ over samples of max_j (p_j - t_j), in the reducing form; at a tie each gets all, or none."""

    reductions = ("sum", "mean")
    each = True

    def forward(self, prediction: Array, target: Array, reduction: str) -> Any:
        error = prediction - target
        greatest = error[np.arange(len(error)), error.real.argmax(axis=1)]
        divisor = len(error) if reduction == "mean" else 1
        return greatest.sum() / divisor, (error, divisor)

    def backward(self, upstream: Any, cache: Any) -> Any:
        error, divisor = cache
        greatest = error == error.max(axis=1, keepdims=True)
        alone = greatest & (greatest.sum(axis=1, keepdims=True) == 1)
        return upstream / divisor * (greatest if self.each else alone)


class LosingGreatestError(GreatestError):
    """The same, but at a tie the gradient is lost."""

    each = False


@pytest.mark.parametrize("loss", [GreatestError, LosingGreatestError])
def test_a_tie_in_a_reducing_loss_is_handed_out_once(loss: type[Loss]) -> None:
    x = normal(3, 4)
    x[0] = 0
    bias = {"linear_1.bias": np.zeros(4)}
    report = check(Linear(4), x=x, loss=loss(), target=np.zeros((3, 4)), parameters=bias, **ONLY)
    assert errors(report), told(report)


# A great term of the loss says nothing about a layer that it does not depend on.
def two_heads(weight: float, factor: float) -> Any:
    """|a| and |b| under squared errors, the first with the weight; the backward of `pb` is off by the factor."""
    data = {"a": normal(3, 4), "b": normal(3, 4, seed=2), "t": normal(3, 4, seed=3), "u": normal(3, 4, seed=4)}
    layers = [("pa", plug(np.abs, np.sign), ("a",)), ("pb", plug(np.abs, lambda x: factor * np.sign(x)), ("b",))]
    terms = [
        Term(Mse(), "mean", weight, ("pa",), {"target": "t"}, name="loss_1"),
        Term(Mse(), "mean", 1.0, ("pb",), {"target": "u"}, name="loss_2"),
    ]
    return check_case(graph(data, layers, terms, inputs=("a", "b"), checks=("gradient", "vacuity")))


@pytest.mark.parametrize("factor", [0.0, 2.0, -1.0])
def test_a_wrong_head_is_not_vacuous_beside_a_term_with_a_great_weight(factor: float) -> None:
    report = two_heads(1e20, factor)
    assert blamed(report) == [("pb", "b")], told(report)  # now: pass, "nothing was tested here"


@pytest.mark.parametrize("weight", [1e6, 1e9, 1e20])
def test_a_right_head_is_decided_beside_a_term_with_a_great_weight(weight: float) -> None:
    report = two_heads(weight, 1.0)
    assert report.verdict == "pass", told(report)
    assert ("GC601", "b") not in notes(report), told(report)


# A kink excuses no entry that is nowhere near it.
def test_a_kink_elsewhere_does_not_excuse_a_wrong_slope() -> None:
    layer = plug(lambda x: 1e5 + np.abs(x), lambda x: np.sign(x) * (1 + 1e-5))
    x = normal(3, 4)
    assert check(layer, x=x, **ONLY).verdict == "fail"
    x[0, 1] = 0
    report = check(layer, x=x, **ONLY)
    assert row(report, "input").counts.fail == 11, told(report)  # now: 11 kinks, of which one sits at a kink


# A layer may be guilty though its own bar is too coarse to convict it.
def test_behind_a_great_offset_the_guilty_layer_is_named() -> None:
    guilty = plug(lambda x: 1e5 + np.abs(x), lambda x: np.sign(x) * (1 + 1e-5))
    report = check(Linear(4), guilty, plug(lambda x: x - 1e5, lambda x: 1.0), x=normal(3, 4), **ONLY)
    assert report.verdict == "fail", told(report)
    assert {layer for layer, _ in blamed(report)} == {"plug_1"}, told(report)


def test_in_float32_the_guilty_layer_is_named() -> None:
    guilty = wrong(lambda dx, gradients: (dx * (1 + 1e-5), gradients), out_features=64)
    report = check(Linear(4), Tanh(), guilty, Tanh(), Linear(2), x=normal(3, 4), dtype="float32", **ONLY)
    assert all(layer == "wrong_linear_1" for layer, _ in blamed(report)), told(report)


# Beside a kink shorter steps settle to eleven digits.
@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("place", [0.3, 1.2, 1.6])
def test_a_slope_that_is_wrong_only_beside_a_kink_is_wrong(place: float, method: str) -> None:
    relu = plug(lambda x: (x + np.abs(x)) / 2, lambda x: np.where(x > 2 * H, 1, np.where(x > 0, 0.9, 0)))
    x = normal(3, 4)
    x[0, 1], x[1, 1] = place * H, 0
    report = check(relu, x=x, method=method, **ONLY)
    assert row(report, "input").counts.fail == 1, told(report)


# The complex step is proved for each output by itself.
class TwoScales(Layer):
    """(1e9 x₀, sqrt(x x* + 1)): backward detaches the small ones, and so does the complex step, which is no proof."""

    def forward(self, x: Array) -> Any:
        return np.concatenate([1e9 * x[:, :1], np.sqrt(x[:, 1:] * np.conj(x[:, 1:]) + 1)], axis=1), None

    def backward(self, dy: Array, cache: Any) -> Any:
        return np.concatenate([1e9 * dy[:, :1], 0 * dy[:, 1:]], axis=1), {}


def test_a_complex_step_is_proved_for_small_outputs_beside_great_ones() -> None:
    scale = np.array([1e-9, 1, 1, 1])
    report = check(TwoScales(), plug(lambda y: y * scale, lambda y: scale), x=normal(3, 4), **ONLY)
    assert ("two_scales_1", "input") in blamed(report), told(report)  # now: pass, 9 of 12 gradients are 0


# One backward that answers in a narrower precision.
class AnswersIn(Layer):
    """y = 2 x, right to the precision of its answer."""

    dtype: Any = np.float32

    def forward(self, x: Array) -> Any:
        return 2 * x, None

    def backward(self, dy: Array, cache: Any) -> Any:
        return (2 * dy).astype(self.dtype), {}


@pytest.mark.parametrize("seed", range(3))
def test_the_layer_before_one_that_answers_in_float32_is_innocent(seed: int) -> None:
    report = check(Linear(4), AnswersIn(), Linear(2), x=normal(3, 4, seed=seed), seed=seed, **ONLY)
    assert all(layer == "answers_in_1" for layer, _ in blamed(report)), told(report)  # now: linear_1


class HalfBias(Linear):
    """A linear layer that adds up the gradient of its bias in float16, and returns it so."""

    def backward(self, dy: Array, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "bias": dy.astype(np.float16).sum(axis=0, dtype=np.float16)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gradient_in_float16_does_not_make_the_others_undecided(dtype: str) -> None:
    report = check(HalfBias(3), x=normal(6, 4), dtype=dtype, **ONLY)
    assert row(report, "half_bias_1.weight").verdict == "pass", told(report)
    assert row(report, "half_bias_1.bias").verdict != "pass", told(report)


# `detectable` holds for tensors whose bar is that of another scheme, too.
def test_three_times_the_detectable_mistake_is_detected_by_forward_differences() -> None:
    def planted(relative: float, index: tuple[int, ...] = (0, 0)) -> Any:
        def change(dx: Array, gradients: dict[str, Array]) -> Any:
            gradients["weight"][index] *= 1 + relative
            return dx, gradients

        x = normal(4, 5, seed=2)
        return case(wrong(change), Tanh(), Linear(2), x=x, method="forward", seed=2, **ONLY)

    from gradcheck.pipeline import run_case

    right = run_case(planted(0.0), "")
    name = "wrong_linear_1.weight"
    size = np.abs(right.gradients[f"{name}/numeric"])
    index = np.unravel_index(int(np.argmin(right.gradients[f"{name}/bar"] / size)), size.shape)
    detectable = row(right.report, name).detectable
    assert detectable is not None
    report = check_case(planted(3 * detectable, tuple(int(i) for i in index)))
    assert row(report, name).verdict == "fail", f"{detectable}\n{told(report)}"


# The sweep of steps.
PLUGIN = """
import numpy as np
from gradcheck import Layer


class Plugged(Layer):
    def forward(self, x):
        return {forward}, x

    def backward(self, dy, x):
        return {backward}, {{}}
"""
SPEC = """
data:
  inputs: {{values: [[{value}, 2.0], [1.0, -0.5]]}}
  targets: {{values: [[0.3, 0.1], [0.2, 0.4]]}}
network: [plugged]
loss: mse
"""


def swept(folder: Path, value: str, forward: str, backward: str) -> int:
    """Sweep the steps of the first entry -> exit code."""
    plugin, spec = folder / "plugin.py", folder / "spec.yaml"
    plugin.write_text(PLUGIN.format(forward=forward, backward=backward))
    spec.write_text(SPEC.format(value=value))
    return main(["sweep", str(spec), "--plugin", str(plugin), "--entry", "input[0,0]"])


def test_a_sweep_of_a_tensor_with_huge_numbers_is_no_bug(tmp_path: Path) -> None:
    assert swept(tmp_path, "1e300", "np.sin(x)", "np.cos(x) * dy") != 3


@pytest.mark.parametrize("value", ["0.0", "1e-300"])
def test_a_sweep_at_a_kink_does_not_say_that_the_gradient_is_zero(
    tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert swept(tmp_path, value, "np.abs(x)", "np.sign(x) * dy") in (0, 1)
    said = " ".join(capsys.readouterr().out.split())
    assert said
    assert "a backward that says zero passes whatever its rule is" not in said, said  # slopes: -0.15 and 0.15
