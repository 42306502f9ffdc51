from __future__ import annotations

from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from core_nets import blamed
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, case, check

from gradcheck.layers.dropout import Dropout
from gradcheck.layers.linear import Linear
from gradcheck.naming import spec_name

LAYERS = {
    "half": (Dropout(), laws.normal(4, 5)),
    "a tenth, images": (Dropout(0.1), laws.normal(2, 2, 3, 2)),
    "nothing": (Dropout(0.0), laws.normal(2, 3)),
    "everything": (Dropout(1.0), laws.normal(2, 3)),
    "inference": (Dropout(0.5, training=False), laws.normal(2, 3)),
    "numbers": (Dropout(0.3), laws.normal(6)),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class NotEnlarged(Dropout):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy * cache, {}


class MaskForgotten(Dropout):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy / (1 - self.p), {}


class EnlargedByTheOther(Dropout):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy * cache / self.p, {}


class OtherPartDropped(Dropout):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(dy, ~cache)


class MaskOfAnotherSample(Dropout):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(dy, np.roll(cache, 1, axis=0))


class MaskDrawnAgain(Dropout):
    def backward(self, dy: Any, cache: Any) -> Any:
        return super().backward(dy, np.random.default_rng(1).random(dy.shape) >= self.p)


@pytest.mark.parametrize(
    "kind",
    [NotEnlarged, MaskForgotten, EnlargedByTheOther, OtherPartDropped, MaskOfAnotherSample, MaskDrawnAgain],
    ids=lambda kind: kind.__name__,
)
def test_planted_mistake_is_named(kind: type[Dropout]) -> None:
    report = check(Linear(5), kind(0.3), Linear(2), x=laws.normal(4, 3), checks=["gradient"], trusted=True)
    laws.assert_caught(report, kind(0.3))
    assert {name for name, _ in blamed(report)} == {f"{spec_name(kind)}_1"}


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Dropout, x: Any) -> None:
    laws.assert_passes(check(layer, x=x, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_sample_keeps_its_own_mask(dtype: str) -> None:
    report = check(Linear(5), Dropout(0.4), Linear(2), x=laws.normal(4, 3), dtype=dtype)
    laws.assert_passes(report)
    assert {result.check: result.verdict for result in report.checks}["per_sample"] == "pass"


def test_unit_that_is_dropped_in_every_sample_is_noted() -> None:
    report = check(Linear(3), Dropout(0.9), x=laws.normal(2, 3))
    laws.assert_passes(report)
    assert {(note.code, note.layer) for note in report.findings} == {("GC602", "dropout_1")}


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


@st.composite
def dropouts(draw: st.DrawFn) -> tuple[Dropout, Any]:
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    layer = Dropout(draw(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1)), draw(st.booleans()))
    return layer, laws.normal(*shape, seed=draw(st.integers(0, 99)))


@laws.few
@given(dropouts())
def test_it_is_linear_in_the_input(drawn: tuple[Dropout, Any]) -> None:
    layer, x = drawn
    laws.upstream_times_output_is_gradient_times_input(layer, x, **laws.drawn(layer, x))


def test_the_share_is_dropped_and_the_mean_stays() -> None:
    layer, x = Dropout(0.2), np.ones((100, 100))
    (y,) = laws.outputs(layer, x, **laws.drawn(layer, x))
    assert np.mean(y == 0) == pytest.approx(0.2, abs=0.02)
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert set(np.unique(y)) == {0.0, 1.25}


def test_masks_differ_between_layers_and_seeds_and_are_drawn_once() -> None:
    def masks(seed: int) -> list[Any]:
        point = case(Dropout(), Dropout(), x=laws.normal(4, 9), seed=seed).point
        return [point.arrays[f"dropout_{k}.mask"] for k in (1, 2)]

    first, second = masks(1)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, masks(2)[0])
    np.testing.assert_array_equal(first, masks(1)[0])


def test_nan_is_not_hidden() -> None:
    layer, x = Dropout(), np.full((2, 3), np.nan)
    assert np.isnan(laws.outputs(layer, x, **laws.drawn(layer, x))[0]).all()


# References -----------------------------------------------------------------------------------------------------------


def reference(layer: Dropout) -> Any:
    def loops(x: Any, dy: Any, mask: Any = None) -> Any:
        y, dx = np.zeros(x.shape), np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            if mask is None:
                y[index], dx[index] = x[index], dy[index]
            elif mask[index]:
                y[index], dx[index] = x[index] / (1 - layer.p), dy[index] / (1 - layer.p)
        return y, dx, {}

    return loops


@laws.few
@given(dropouts())
def test_any_options_say_what_loops_say(drawn: tuple[Dropout, Any]) -> None:
    layer, x = drawn
    laws.assert_matches_reference(layer, reference(layer), x, **laws.drawn(layer, x))


@pytest.mark.torch
@laws.few
@given(dropouts())
def test_with_the_mask_that_torch_draws_it_says_what_torch_says(drawn: tuple[Dropout, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer, x = drawn

    def function(x: Any, mask: Any = None) -> Any:
        torch.manual_seed(7)
        return torch.nn.functional.dropout(x, layer.p, layer.training)

    with torch.random.fork_rng():
        kept = function(torch.ones(x.shape, dtype=torch.float64)).numpy() != 0
        laws.assert_matches_torch(layer, function, x, **({"mask": kept} if layer.training else {}))


# Options --------------------------------------------------------------------------------------------------------------


def test_options_of_a_spec() -> None:
    assert msgspec.convert({}, Dropout) == Dropout(0.5, True)
    assert msgspec.convert({"p": 0.1, "training": False}, Dropout) == Dropout(0.1, False)


@pytest.mark.parametrize("option", [{"p": -0.1}, {"p": 1.1}, {"training": 1}], ids=str)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert(option, Dropout)
