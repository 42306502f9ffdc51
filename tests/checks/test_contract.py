from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from core_nets import (
    Array,
    Centred,
    Declared,
    Gate,
    Normalised,
    double,
    errors,
    graph,
    normal,
    told,
    verdict,
    wrong,
)
from support import ALL, check, judged

from gradcheck.findings import CheckResult, SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses._base import Loss
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

X, TARGET = normal(4, 3), normal(4, 3, seed=1)
ONLY: dict[str, Any] = {"checks": ("contract",)}


def result(report: SpecReport) -> CheckResult:
    return next(check for check in report.checks if check.check == "contract")


def codes(report: SpecReport) -> list[tuple[str, str]]:
    return [(finding.code, finding.layer) for finding in errors(report)]


# Correct networks -----------------------------------------------------------------------------------------------------


class MaskFromConstants(Layer):
    """Dropout whose mask is drawn once."""

    per_sample = ("mask",)

    def constants(self, rng: np.random.Generator, *x_shapes: Any) -> dict[str, Array]:
        return {"mask": (rng.random(x_shapes[0]) < 0.5) * 2.0}

    def forward(self, x: Array, mask: Array) -> Any:
        return x * mask, mask

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy * cache, {}


class StraightThrough(Layer):
    """Rounded forward, the identity backward."""

    def forward(self, x: Array) -> Any:
        return np.round(x), None

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy, {}


class Memo(Layer):
    """Keeps a table of constants for each number of features: nothing that a call could change."""

    tables: ClassVar[dict[int, Array]] = {}

    def forward(self, x: Array) -> Any:
        if x.shape[1] not in self.tables:
            self.tables[x.shape[1]] = np.arange(1.0, 1 + x.shape[1])
        return x * self.tables[x.shape[1]], None

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy * self.tables[dy.shape[1]], {}


class Narrow(Layer):
    """Computes in half precision, and answers in it."""

    def forward(self, x: Array) -> Any:
        return np.tanh(x), x

    def backward(self, dy: Array, cache: Any) -> Any:
        return (dy * (1 - np.tanh(cache) ** 2)).astype(np.float16), {}


class Cancelling(Layer):
    """Nearly all of what it adds up cancels, so that it rounds far more than a sum of its upstream gradient does."""

    def forward(self, x: Array) -> Any:
        return x, None

    def backward(self, dy: Array, cache: Any) -> Any:
        large = dy * dy.dtype.type(1e4 * np.pi)
        return (large + dy) - large, {}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layer", [
    Linear(3), Tanh(), Centred(), Normalised(), MaskFromConstants(), StraightThrough(), Memo(), Narrow(), Cancelling(),
], ids=lambda layer: type(layer).__name__)  # fmt: skip
def test_correct_layer_keeps_the_contract(layer: Layer, dtype: str) -> None:
    for seed in range(2):
        report = check(layer, x=normal(4, 3, seed=seed), loss=Mse(), target=TARGET, dtype=dtype, seed=seed, **ONLY)
        assert not report.findings, told(report)
        assert verdict(report, "contract") == "pass"


def test_several_inputs_and_outputs_are_asked_about_together() -> None:
    report = check(Gate(), x={"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])}, **ONLY)
    assert not report.findings, told(report)
    assert result(report).measured["parts"]["gate_1"] == {"verdict": "pass", "codes": [], "not_asked": []}


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e30])
def test_scale_of_the_numbers_does_not_matter(size: float) -> None:
    for dtype in ("float64", "float32"):
        report = check(Linear(3), Tanh(), x=size * X, loss=Mse(), target=size * TARGET, dtype=dtype, **ONLY)
        assert not report.findings, told(report)


def test_batch_of_one_is_asked_with_two() -> None:
    report = check(Linear(3), Tanh(), x=X[:1], loss=Mse(), target=TARGET[:1], **ONLY)
    assert not report.findings, told(report)
    assert result(report).measured["parts"]["linear_1"]["not_asked"] == []


def test_layer_that_takes_one_size_of_batch_only_is_not_accused_and_the_report_says_so() -> None:
    class FourOnly(Layer):
        def forward(self, x: Array) -> Any:
            if len(x) != 4:
                raise ValueError("four samples, please")
            return 2 * x, None

        def backward(self, dy: Array, cache: Any) -> Any:
            return 2 * dy, {}

    report = check(FourOnly(), x=X, loss=Mse(), target=TARGET, **ONLY)
    assert not report.findings, told(report)
    assert result(report).measured["parts"]["four_only_1"]["not_asked"] == ["a batch of another size"]
    assert result(report).measured["sentences"][-1] == "A batch of another size could not be given to four_only_1."


# Impure ---------------------------------------------------------------------------------------------------------------


class Twice(Layer):
    """y = 2 x, with something done in place."""

    def forward(self, x: Array) -> Any:
        return 2 * x, {"x": x.copy(), "seen": [0]}

    def backward(self, dy: Array, cache: Any) -> Any:
        return 2 * dy, {}


class ForwardInPlace(Twice):
    def forward(self, x: Array) -> Any:
        x *= 2
        return x.copy(), None


class BackwardInPlace(Twice):
    def backward(self, dy: Array, cache: Any) -> Any:
        dy *= 2
        return dy.copy(), {}


class CacheInPlace(Twice):
    def backward(self, dy: Array, cache: Any) -> Any:
        cache["x"] *= 0
        return 2 * dy, {}


class CacheEmptied(Twice):
    def backward(self, dy: Array, cache: Any) -> Any:
        cache.pop("x")
        return 2 * dy, {}


class CacheCounts(Twice):
    def backward(self, dy: Array, cache: Any) -> Any:
        cache["seen"][0] += 1
        return 2 * dy, {}


class StepsItself(Linear):
    """Follows its own gradient in backward."""

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        cache[1][...] -= 0.1 * gradients["weight"]
        return dx, gradients


@pytest.mark.parametrize(("layer", "changes"), [
    (ForwardInPlace(), "forward changes its input input"),
    (BackwardInPlace(), "backward changes the upstream gradient"),
    (CacheInPlace(), "backward changes cache['x']"),
    (CacheEmptied(), "backward changes cache['x']"),
    (CacheCounts(), "backward changes cache['seen'][0]"),
    (StepsItself(3), "backward changes its parameter `weight`"),
], ids=lambda value: type(value).__name__ if isinstance(value, Layer) else "")  # fmt: skip
def test_what_is_changed_is_named_with_the_method_that_changes_it(layer: Layer, changes: str) -> None:
    report = check(layer, x=X, loss=Mse(), target=TARGET, **ONLY)
    (finding,) = errors(report)
    assert (finding.code, finding.layer) == ("GC501", report.network[0].name), told(report)
    assert changes in finding.message, told(report)
    assert (verdict(report, "contract"), report.verdict) == ("fail", "fail")
    assert check(layer, x=X, loss=Mse(), target=TARGET, checks=("gradient",)).verdict == "pass"


def test_loss_is_asked_too() -> None:
    class InPlace(Declared):
        def backward(self, upstream: Any, cache: Any) -> Any:
            error, _ = cache
            error *= 2 * upstream * cache[1]
            return error.copy()

    report = check(Linear(3), x=X, loss=InPlace(), target=TARGET, **ONLY)
    assert codes(report) == [("GC501", "loss")], told(report)
    assert "backward changes cache[0]" in errors(report)[0].message


def test_what_is_kept_between_calls_without_an_effect_is_a_warning() -> None:
    class Remembers(Twice):
        last: Any = None

        def forward(self, x: Array) -> Any:
            type(self).last = x.real.copy()
            return 2 * x, None

    report = check(Remembers(), x=X, loss=Mse(), target=TARGET, checks=ALL)
    (warning,) = report.findings
    assert (warning.code, warning.severity, warning.layer) == ("GC501", "warning", "remembers_1"), told(report)
    assert report.verdict == "pass"


# Not repeatable -------------------------------------------------------------------------------------------------------


def redrawn(in_forward: bool) -> Layer:
    """Dropout that draws its mask anew in every forward, or another one in backward: `redrawn_1`."""
    rng = np.random.default_rng(0)

    class Redrawn(Layer):
        def forward(self, x: Array) -> Any:
            return (x * (rng.random(x.shape) < 0.5) if in_forward else 2 * x), x.shape

        def backward(self, dy: Array, cache: Any) -> Any:
            return dy * (rng.random(cache) < 0.5), {}

    return Redrawn()


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("in_forward", [True, False])
def test_mask_that_is_drawn_anew_is_named_though_no_difference_can_tell(in_forward: bool, method: str) -> None:
    report = check(Linear(3), redrawn(in_forward), Linear(2), x=X, method=method, checks=ALL)
    assert ("GC502", "redrawn_1") in codes(report), told(report)
    assert {layer for _, layer in codes(report)} == {"redrawn_1"}, told(report)
    assert report.verdict == "fail"
    said = next(f.message for f in report.findings if f.code == "GC502")
    assert ("forward does not repeat itself" if in_forward else "backward does not repeat itself") in said


def test_noise_of_a_millionth_is_told_apart_from_rounding() -> None:
    rng = np.random.default_rng(0)
    noisy = double(lambda dy: (2 * dy * (1 + 1e-6 * rng.standard_normal(dy.shape)), {}))
    assert codes(check(noisy, x=X, **ONLY)) == [("GC502", "double_1")]
    noisy = double(lambda dy: (2 * dy * (1 + 1e-16 * rng.standard_normal(dy.shape)), {}))
    assert codes(check(noisy, x=X, **ONLY)) == []


# The order of calls ---------------------------------------------------------------------------------------------------


class Stale(Layer):
    """y = x², differentiated at the batch that forward has seen last."""

    last: Any = None

    def forward(self, x: Array) -> Any:
        type(self).last = x
        return x**2, None

    def backward(self, dy: Array, cache: Any) -> Any:
        return 2 * self.last * dy, {}


class StaleStatistic(Stale):
    """The same, but only the mean of the last batch is remembered."""

    def forward(self, x: Array) -> Any:
        type(self).last = x.mean()
        return x * x.mean(), x

    def backward(self, dy: Array, cache: Any) -> Any:
        return self.last * dy + (cache * dy).mean(), {}


class Stack(Layer):
    """What forward has seen is put on a stack, and backward takes the uppermost: right for one order of calls alone."""

    seen: ClassVar[list[Any]] = []

    def forward(self, x: Array) -> Any:
        self.seen.append(x)
        return x**2, None

    def backward(self, dy: Array, cache: Any) -> Any:
        return 2 * self.seen.pop() * dy, {}


class Buffer(Linear):
    """Adds its weight gradient to a buffer of the class that nobody clears."""

    total: ClassVar[dict[str, Any]] = {}

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        self.total["weight"] = self.total.get("weight", 0) + gradients["weight"]
        return dx, {**gradients, "weight": self.total["weight"]}


class Running(Layer):
    """Subtracts a running mean that forward itself moves."""

    mean: Any = 0.0

    def forward(self, x: Array) -> Any:
        type(self).mean = 0.9 * self.mean + 0.1 * float(x.real.mean())
        return x - self.mean, None

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy, {}


@pytest.mark.parametrize(("layer", "code", "words"), [
    (Stale(), "GC503", "after the forward of another batch in between"),
    (StaleStatistic(), "GC503", "after the forward of another batch in between"),
    (Stack(), "GC50", ""),
    (Buffer(3), "GC503", "backward adds the same again to buffer_1.weight in every call"),
    (Running(), "GC502", "forward does not repeat itself"),
], ids=lambda value: type(value).__name__ if isinstance(value, Layer) else "")  # fmt: skip
def test_layer_that_remembers_is_named(layer: Layer, code: str, words: str) -> None:
    report = check(layer, x=X, loss=Mse(), target=TARGET, **ONLY)
    (finding,) = errors(report)
    assert finding.code.startswith(code), told(report)
    assert words in finding.message, told(report)


class SameBuffer(Linear):
    """Writes its weight gradient into one array, which it returns in every call."""

    buffers: ClassVar[dict[Any, Array]] = {}

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        weight = gradients["weight"]
        buffer = self.buffers.setdefault(weight.dtype, np.empty_like(weight))
        buffer[...] = weight
        return dx, {**gradients, "weight": buffer}


class SameOutput(Layer):
    """Writes its output into one array for each size of batch."""

    outputs: ClassVar[dict[Any, Array]] = {}

    def forward(self, x: Array) -> Any:
        y = self.outputs.setdefault((x.shape, x.dtype), np.empty_like(x))
        y[...] = 2 * x
        return y, None

    def backward(self, dy: Array, cache: Any) -> Any:
        return 2 * dy, {}


@pytest.mark.parametrize(
    ("layer", "what"), [(SameBuffer(3), "the gradient['same_buffer_1.weight']"), (SameOutput(), "output[0]")]
)
def test_layer_that_returns_one_array_again_and_again_is_named(layer: Layer, what: str) -> None:
    report = check(layer, x=X, loss=Mse(), target=TARGET, checks=("contract", "gradient"))
    (finding,) = errors(report)
    assert (finding.code, verdict(report, "gradient")) == ("GC503", "pass"), told(report)
    assert f"what a call has returned ({what}) is overwritten by the next one" in finding.message


# Not linear in the upstream gradient ----------------------------------------------------------------------------------

NOT_LINEAR = {
    "clipped": (lambda dy: np.clip(2 * dy, -1, 1), "B(2 g) is not 2 B(g)"),
    "clipped far away": (lambda dy: np.clip(2 * dy, -100, 100), "B(1024 g) is not 1024 B(g) (great ones are cut off"),
    "normalised": (lambda dy: dy / np.sqrt((dy**2).sum() + 1e-30), "B(2 g) is not 2 B(g)"),
    "ignored": (lambda dy: np.full_like(dy, 2.0), "it ignores it"),
    "decayed": (lambda dy: 2 * dy + 1e-6, "B(0) is not 0"),
    "guided": (lambda dy: np.where(dy > 0, 2 * dy, 0), "B(-1 g) is not -1 B(g)"),
    "small ones dropped": (lambda dy: np.where(np.abs(dy) < 1e-3, 0, 2 * dy), "B(0.000976562 g)"),
    "products": (lambda dy: 2 * np.sqrt(np.abs(dy * dy[:, ::-1])) * np.sign(dy), "B(g + h) is not"),
    "0 / 0": (lambda dy: 2 * dy * (dy / dy), "B(0) is not 0"),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NOT_LINEAR)
def test_backward_that_is_not_linear_is_named_with_the_law_that_it_breaks(name: str, dtype: str) -> None:
    backward, words = NOT_LINEAR[name]
    report = check(Linear(3), double(lambda dy: (backward(dy), {})), x=X, dtype=dtype, **ONLY)
    assert codes(report) == [("GC504", "double_1")], told(report)
    assert words in errors(report)[0].message, told(report)


def test_one_tensor_of_many_that_is_not_linear_is_enough() -> None:
    report = check(wrong(lambda dx, g: (dx, {**g, "bias": np.clip(g["bias"], -1e-3, 1e-3)})), x=X, **ONLY)
    assert codes(report) == [("GC504", "wrong_linear_1")], told(report)
    assert "wrong_linear_1.bias[" in errors(report)[0].message


def test_clipping_that_is_not_reached_passes_the_gradient_check() -> None:
    layers = Linear(3), double(lambda dy: (np.clip(2 * dy, -5, 5), {}))
    assert check(*layers, x=X, checks=("gradient",)).verdict == "pass"
    assert codes(check(*layers, x=X, **ONLY)) == [("GC504", "double_1")]


def test_backward_that_reads_memory_instead_of_numbers_is_named() -> None:
    layer = double(lambda dy: (2 * np.ndarray(dy.shape, dy.dtype, dy if dy.flags.c_contiguous else dy.base), {}))
    report = check(layer, x=X, **ONLY)
    assert codes(report) == [("GC504", "double_1")], told(report)
    assert "in memory" in errors(report)[0].message


class Ignores(Declared):
    """Takes it that the upstream gradient is 1, as it is under a loss that stands alone."""

    def backward(self, upstream: Any, cache: Any) -> Any:
        error, factor = cache
        return 2 * factor * error


def test_loss_that_ignores_its_upstream_gradient_passes_the_gradient_check() -> None:
    options: dict[str, Any] = {"x": X, "loss": Ignores(), "target": TARGET}
    assert check(Linear(3), checks=("gradient", "reduction", "per_sample"), **options).verdict == "pass"
    assert codes(check(Linear(3), **ONLY, **options)) == [("GC504", "loss")]


# Special points -------------------------------------------------------------------------------------------------------


class RootOfSize(Layer):
    """√|x|, whose backward divides 0 by 0 at 0."""

    def forward(self, x: Array) -> Any:
        return np.sqrt(np.abs(x)), x

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy * np.sign(cache) / (2 * np.sqrt(np.abs(cache))), {}


class Saturating(Layer):
    """σ(x), whose backward divides ∞ by ∞ far below 0, in float32 at -50."""

    def forward(self, x: Array) -> Any:
        return 1 / (1 + np.exp(-x)), x

    def backward(self, dy: Array, cache: Any) -> Any:
        e = np.exp(-2 * cache)
        return dy * (e / (1 + np.sqrt(e)) ** 2 / np.sqrt(e)), {}


class Relative(Mse):
    """Squared error, whose backward goes over the relative error: 0 / 0 where the prediction is right."""

    def backward(self, upstream: Array, cache: Any) -> Any:
        error = cache[0]
        return super().backward(upstream, cache) * (error / error)


class Steep(Layer):
    """√x of |x|: the slope at 0 is infinite, and says so."""

    def forward(self, x: Array) -> Any:
        return np.sqrt(np.abs(x)), x

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy * np.where(cache < 0, -1, 1) / (2 * np.sqrt(np.abs(cache))), {}


@pytest.mark.parametrize(
    ("layer", "loss", "dtype", "where"),
    [
        (RootOfSize(), Mse(), "float64", "root_of_size_1: where every input is 0, "),
        (Saturating(), Mse(), "float32", "saturating_1: where every input is -50, "),
        (Tanh(), Relative(), "float64", "loss: where the prediction is the target, "),
    ],
)
def test_nan_where_this_run_is_not_is_a_warning(layer: Layer, loss: Loss, dtype: str, where: str) -> None:
    report = check(layer, x=X, loss=loss, target=TARGET, dtype=dtype, **ONLY)
    (warning,) = report.findings
    assert (warning.code, warning.severity, report.verdict) == ("GC115", "warning", "pass")
    assert warning.message.startswith(f"{where}forward is finite and backward gives NaN in the gradient of ")


def test_infinite_slope_is_none() -> None:
    assert not check(Steep(), x=X, loss=Mse(), target=TARGET, **ONLY).findings


# What is asked, and what is said --------------------------------------------------------------------------------------


def test_check_can_be_switched_off_and_runs_first() -> None:
    report = check(Linear(3), x=X, loss=Mse(), target=TARGET, checks=ALL)
    assert report.checks[0].check == "contract"
    assert not [c for c in check(Linear(3), x=X, checks=("gradient",)).checks if c.check == "contract"]


@pytest.mark.parametrize("switched_on", [True, False])
def test_contract_is_asked_before_any_difference_is_taken(switched_on: bool) -> None:
    """Up to the first complex input, which differences alone need, backward is called once, or as often as is asked."""
    calls: list[str] = []

    class Listening(Tanh):
        def forward(self, x: Array) -> Any:
            calls.append("complex" if x.dtype.kind == "c" else "real")
            return super().forward(x)

        def backward(self, dy: Array, cache: Any) -> Any:
            calls.append("backward")
            return super().backward(dy, cache)

    check(Linear(3), Listening(), x=X, checks=ALL if switched_on else ("gradient",))
    before = calls[: calls.index("complex")]
    assert (before.count("backward") > 20) == switched_on


def test_layer_whose_backward_failed_is_left_to_the_gradient_check() -> None:
    report = check(Linear(3), double(lambda dy: (None, {})), x=X, **ONLY)
    assert result(report).verdict == "not_applicable"
    assert result(report).reason == "the backward pass failed at double_1; everything else keeps the contract"


def test_every_guilty_part_is_named_once() -> None:
    terms = [
        Term(Ignores(), "mean", 1.0, ("b",), {"target": "target"}),
        Term(Ignores(), "sum", 2.0, ("b",), {"target": "target"}, name="loss_2"),
    ]
    layers: list[Any] = [("a", BackwardInPlace(), ("input",)), ("b", CacheInPlace(), ("a",))]
    report = judged(graph({"input": X, "target": TARGET}, layers, terms, checks=("contract",)))
    assert [(f.code, f.message.partition(":")[0]) for f in errors(report)] == [
        ("GC501", "a"), ("GC501", "b"), ("GC504", "loss"), ("GC504", "loss_2"),
    ]  # fmt: skip
    assert [f.id for f in report.findings] == [f"contract-{k}" for k in (1, 2, 3, 4)]
    assert result(report).code == "GC501"


def test_loss_that_raises_when_it_is_called_again_is_a_finding() -> None:
    class Once(Loss):
        def forward(self, prediction: Any, target: Any) -> Any:
            return (prediction - target) ** 2, [prediction - target]

        def backward(self, upstream: Any, cache: Any) -> Any:
            return 2 * upstream * cache.pop()

    report = check(Linear(3), x=X, loss=Once(), target=TARGET, **ONLY)
    assert codes(report) == [("GC501", "loss")], told(report)
