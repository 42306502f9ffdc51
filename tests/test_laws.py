"""Every law fails on a layer that breaks it."""

from __future__ import annotations

from typing import Any

import laws
import numpy as np
import pytest
from msgspec.structs import replace

from gradcheck.findings import Counts, Finding, Row, SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers._columns import Columns


class Square(Layer):
    """y = x², which keeps every law but Euler's."""

    def forward(self, x: Any) -> Any:
        return x * x, x

    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * cache * dy, {}


class TwiceTheGradient(Square):
    def backward(self, dy: Any, cache: Any) -> Any:
        return 4 * cache * dy, {}


class ForgottenParameter(Square):
    def init(self, rng: Any, *x_shapes: Any) -> Any:
        return {"scale": rng.standard_normal(1)}

    def forward(self, x: Any, scale: Any = 1) -> Any:
        return x * x, x


class ConstantAdded(Square):
    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * cache * dy + 1, {}


class Centred(Layer):
    def forward(self, x: Any) -> Any:
        return x - x.mean(axis=0), None

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy - dy.mean(axis=0), {}


class Widened(Square):
    def forward(self, x: Any) -> Any:
        return x * x * np.float64(1), x


class WidenedBackward(Square):
    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * cache * dy * np.float64(1), {}


class NarrowInside(Square):
    def forward(self, x: Any) -> Any:
        y = x * x
        return (y.astype(np.float64).astype(x.dtype) if x.dtype == np.longdouble else y), x


class NarrowAnswer(Square):
    def forward(self, x: Any) -> Any:
        y = x * x
        return (y.astype(np.float64) if x.dtype == np.longdouble else y), x


class InPlace(Square):
    def forward(self, x: Any) -> Any:
        before = x.copy()
        x *= x
        return x, before


class UpstreamInPlace(Square):
    def backward(self, dy: Any, cache: Any) -> Any:
        dy *= 2 * cache
        return dy, {}


class CacheUsedUp(Square):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx = 2 * cache * dy
        cache[...] = 0
        return dx, {}

    def forward(self, x: Any) -> Any:
        return x * x, x.copy()


class RealOnly(Square):
    def forward(self, x: Any) -> Any:
        return x.real * x.real, x


class FloatBranches(Square):
    def branches(self, *inputs: Any, **parameters: Any) -> Any:
        return (inputs[0].real > 0).astype(float)


class BranchesWithoutBatch(Square):
    def branches(self, *inputs: Any, **parameters: Any) -> Any:
        return (inputs[0][0].real > 0).astype(int)


class BranchesByImaginaryPart(Square):
    def branches(self, *inputs: Any, **parameters: Any) -> Any:
        return (inputs[0].imag > 0).astype(int)


class NotElementwise(Layer):
    elementwise = True

    def forward(self, x: Any) -> Any:
        return np.cumsum(x).reshape(x.shape), None

    def backward(self, dy: Any, cache: Any) -> Any:
        return np.cumsum(dy[::-1])[::-1].reshape(dy.shape), {}


class NotChannelwise(NotElementwise):
    elementwise = False
    channelwise = True


class Scaled(Layer):
    """y = s x with one s a feature, and a wrong word about it each."""

    def init(self, rng: Any, *x_shapes: Any) -> Any:
        return {"scale": rng.standard_normal(x_shapes[0][-1])}

    def forward(self, x: Any, scale: Any) -> Any:
        return x * scale, None

    def backward(self, dy: Any, cache: Any) -> Any:
        raise NotImplementedError


class PerturbedElsewhere(Scaled):
    def perturbed(self, name: str, entries: Any, steps: Any, x: Any, **parameters: Any) -> Any:
        moves = steps[:, None] * x.T[entries[0]]
        return Columns(1, np.roll(entries[0], 1), moves[..., None])


class CarriedUnscaled(Scaled):
    def carry(self, moves: Any, **parameters: Any) -> Any:
        return moves


class ColumnsUnscaled(Scaled):
    def carry_columns(self, columns: Any, **parameters: Any) -> Any:
        return columns


BROKEN = [
    (laws.backward_is_the_derivative, TwiceTheGradient()),
    (laws.backward_is_the_derivative, ForgottenParameter()),
    (laws.backward_agrees_with_real_differences, TwiceTheGradient()),
    (laws.backward_is_linear_in_upstream, ConstantAdded()),
    (laws.samples_are_independent, Centred()),
    (laws.float32_stays_float32, Widened()),
    (laws.float32_stays_float32, WidenedBackward()),
    (laws.long_double_is_no_staircase, NarrowInside()),
    (laws.long_double_is_no_staircase, NarrowAnswer()),
    (laws.arguments_are_left_alone, InPlace()),
    (laws.arguments_are_left_alone, UpstreamInPlace()),
    (laws.arguments_are_left_alone, CacheUsedUp()),
    (laws.complex_arguments_are_carried, RealOnly()),
    (laws.branches_keep_their_contract, FloatBranches()),
    (laws.branches_keep_their_contract, BranchesWithoutBatch()),
    (laws.branches_keep_their_contract, BranchesByImaginaryPart()),
    (laws.elementwise_means_entry_by_entry, NotElementwise()),
    (laws.channelwise_means_channel_by_channel, NotChannelwise()),
    (laws.perturbed_is_forward_with_the_entry_moved, PerturbedElsewhere()),
    (laws.carry_is_forward_of_the_moved_input, CarriedUnscaled()),
    (laws.carry_columns_is_carry_of_whole_copies, ColumnsUnscaled()),
    (laws.upstream_times_output_is_gradient_times_input, Square()),
]


@pytest.mark.parametrize("law", laws.ALL, ids=laws.name)
def test_law_holds_where_nothing_is_broken(law: laws.Law) -> None:
    law(Square(), laws.normal(3, 4))


@pytest.mark.parametrize(("law", "layer"), BROKEN, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_law_fails_where_it_is_broken(law: laws.Law, layer: Layer) -> None:
    x = laws.normal(3, 4)
    with pytest.raises((AssertionError, ValueError)):
        law(layer, x, **laws.drawn(layer, x))


def test_every_law_is_seen_failing() -> None:
    assert {law for law, _ in BROKEN} >= set(laws.ALL)


def test_reference_that_differs_is_noticed() -> None:
    def twice(x: Any, dy: Any) -> Any:
        return x * x, 4 * x * dy, {}

    with pytest.raises(AssertionError, match="gradient of input 0"):
        laws.assert_matches_reference(Square(), twice, laws.normal(3, 4))


FAILED = SpecReport(
    "test.yaml",
    "test",
    "fail",
    7,
    inputs=(Row("input", (2,), 2, 2, "fail", Counts(passed=1, fail=1)),),
    findings=(Finding("1", "GC100", "error", "linear_1", "", parameter="linear_1.weight"),),
)


def test_caught_means_an_error_that_names_the_layer_and_the_parameter() -> None:
    laws.assert_caught(FAILED, "linear_1")
    laws.assert_caught(FAILED, "linear_1", "weight")
    for layer, parameter in (("linear_2", None), ("linear_1", "bias")):
        with pytest.raises(AssertionError, match="expected an error about"):
            laws.assert_caught(FAILED, layer, parameter)
    (finding,) = FAILED.findings
    for other in ({"consequence_of": "0"}, {"severity": "note"}, {"code": "GC601"}):
        with pytest.raises(AssertionError, match="expected an error about"):
            laws.assert_caught(replace(FAILED, findings=(replace(finding, **other),)), "linear_1")
    with pytest.raises(AssertionError, match="expected verdict fail"):
        laws.assert_caught(replace(FAILED, verdict="pass"), "linear_1")


def test_passing_means_that_something_was_checked_and_all_of_it_agreed() -> None:
    row = FAILED.inputs[0]
    passed = replace(FAILED, verdict="pass", inputs=(replace(row, counts=Counts(passed=2)),))
    laws.assert_passes(passed)
    laws.assert_no_false_alarm(passed)
    for counts in (Counts(), Counts(passed=1, inconclusive=1)):
        report = replace(passed, inputs=(replace(row, counts=counts),))
        with pytest.raises(AssertionError):
            laws.assert_passes(report)
        with pytest.raises(AssertionError):
            laws.assert_no_false_alarm(report)
    for assertion in (laws.assert_passes, laws.assert_no_false_alarm):
        with pytest.raises(AssertionError):
            assertion(FAILED)
