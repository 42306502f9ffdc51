from __future__ import annotations

from typing import Any

import laws
import msgspec
import numpy as np
import pytest
from core_nets import blamed, row
from hypothesis import given
from hypothesis import strategies as st
from support import ALL, case, check

from gradcheck.errors import ShapeError
from gradcheck.layers.embedding import Embedding
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.naming import spec_name

IDS = np.array([[0, 2, 2], [4, 0, 2]])
LAYERS = {
    "sequences, some ids twice": (Embedding(5, 3), IDS),
    "one id a sample": (Embedding(4, 2), np.array([3, 1, 3, 0])),
    "padding": (Embedding(5, 2, padding_idx=0), IDS),
    "padding from the end": (Embedding(5, 2, padding_idx=-1), IDS),
    "three axes, small integers": (Embedding(3, 1), np.array([[[0], [2]], [[2], [2]]], dtype=np.uint8)),
    "padding alone": (Embedding(2, 3, padding_idx=1), np.array([[1, 1], [1, 0]])),
}


# Planted mistakes -----------------------------------------------------------------------------------------------------


class LastUseOnly(Embedding):
    def backward(self, dy: Any, cache: Any) -> Any:
        ids, shape = cache
        dW = np.zeros(shape, dy.dtype)
        dW[ids] = dy
        return None, {"weight": dW}


class DividedByItsUses(Embedding):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        uses = np.bincount(cache[0].ravel(), minlength=self.num_embeddings)
        return dx, {"weight": gradients["weight"] / np.maximum(uses, 1)[:, None]}


class Negated(Embedding):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {"weight": -gradients["weight"]}


class NextRow(Embedding):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {"weight": np.roll(gradients["weight"], 1, axis=0)}


class FirstPlaceDropped(Embedding):
    def backward(self, dy: Any, cache: Any) -> Any:
        dy = dy.copy()
        dy[:, 0] = 0
        return super().backward(dy, cache)


class PaddingLearned(Embedding):
    def backward(self, dy: Any, cache: Any) -> Any:
        return Embedding(self.num_embeddings, self.embedding_dim).backward(dy, cache)


@pytest.mark.parametrize(
    "kind",
    [LastUseOnly, DividedByItsUses, Negated, NextRow, FirstPlaceDropped, PaddingLearned],
    ids=lambda kind: kind.__name__,
)
def test_planted_mistake_is_named(kind: type[Embedding]) -> None:
    layer = kind(5, 3, 0 if kind is PaddingLearned else None)
    report = check(layer, Flatten(), Linear(2), x=IDS)
    laws.assert_caught(report, layer, "weight")
    assert {name for name, _ in blamed(report)} == {f"{spec_name(kind)}_1"}


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_passes(layer: Embedding, x: Any) -> None:
    for method in ("auto", "central"):
        laws.assert_passes(check(layer, x=x, method=method, trusted=True, checks=ALL))


def test_passes_in_float32() -> None:
    layer, x = next(iter(LAYERS.values()))
    laws.assert_no_false_alarm(check(layer, x=x, dtype="float32", checks=["gradient"], trusted=True))


def test_integers_are_no_row_and_unused_rows_are_untested() -> None:
    report = check(Embedding(5, 3), Flatten(), Linear(2), x=IDS)
    laws.assert_passes(report)
    assert report.inputs == ()
    assert row(report, "embedding_1.weight").untested == 2 * 3


def test_samples_do_not_see_each_other() -> None:
    report = check(Embedding(5, 3), Flatten(), Linear(2), x=IDS)
    assert {result.check: result.verdict for result in report.checks}["per_sample"] == "pass"


# Laws -----------------------------------------------------------------------------------------------------------------


def test_laws() -> None:
    for layer, x in LAYERS.values():
        laws.hold(layer, x)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Embedding, Any]:
    V = draw(st.integers(1, 5))
    layer = Embedding(V, draw(st.integers(1, 3)), draw(st.none() | st.integers(-V, V - 1)))
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return layer, rng.integers(0, V, shape)


@laws.few
@given(tables())
def test_it_is_linear_in_the_table(drawn: tuple[Embedding, Any]) -> None:
    layer, ids = drawn
    outcome = laws.run(layer, ids, **(parameters := laws.drawn(layer, ids)))
    assert outcome.dx == (None,)
    by_table = np.sum(outcome.gradients["weight"] * parameters["weight"])
    assert by_table == pytest.approx(np.sum(outcome.dy[0] * outcome.y[0]), rel=1e-12)


def test_padding_is_zero_whatever_stands_in_its_row() -> None:
    layer, weight = Embedding(5, 2, padding_idx=2), laws.normal(5, 2)
    outcome = laws.run(layer, IDS, weight=weight)
    assert not outcome.y[0][IDS == 2].any()
    assert not outcome.gradients["weight"][2].any()
    laws.assert_passes(check(layer, x=IDS, parameters={"embedding_1.weight": weight}))


# References -----------------------------------------------------------------------------------------------------------


def reference(layer: Embedding) -> Any:
    padding = None if layer.padding_idx is None else range(layer.num_embeddings)[layer.padding_idx]

    def loops(ids: Any, dy: Any, weight: Any) -> Any:
        y, dW = np.zeros(dy.shape), np.zeros(weight.shape)
        for place in np.ndindex(*ids.shape):
            if ids[place] != padding:
                for j in range(weight.shape[1]):
                    y[(*place, j)] = weight[ids[place], j]
                    dW[ids[place], j] += dy[(*place, j)]
        return y, None, {"weight": dW}

    return loops


@laws.few
@given(tables())
def test_any_options_say_what_loops_say(drawn: tuple[Embedding, Any]) -> None:
    layer, ids = drawn
    laws.assert_matches_reference(layer, reference(layer), ids, **laws.drawn(layer, ids))


@pytest.mark.torch
def test_parameters_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = torch.nn.Embedding(40, 30, padding_idx=3)
    weight = Embedding(40, 30, padding_idx=3).init(np.random.default_rng(0), (2, 3))["weight"]
    assert weight.shape == tuple(module.weight.shape)
    assert not weight[3].any()
    assert not module.weight[3].any()
    assert weight.std() == pytest.approx(module.weight.std().item(), rel=0.1)


# What is cheap to say of perturbed copies -----------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-3, 1e-30j], ids=["real", "complex"])
@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_perturbed_is_forward_with_the_entry_moved(layer: Embedding, x: Any, unit: complex) -> None:
    weight = laws.drawn(layer, x)["weight"]
    entries = np.nonzero(np.ones(weight.shape))
    steps = unit * np.arange(1, weight.size + 1)
    (y,) = laws.outputs(layer, x, weight=weight)
    found = layer.perturbed("weight", entries, steps, x, weight=weight).moved(y)
    for k, index in enumerate(zip(*entries, strict=True)):
        moved = weight.astype(steps.dtype)
        moved[index] += steps[k]
        np.testing.assert_array_equal(found[k], laws.outputs(layer, x, weight=moved)[0])


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([[0, 5]]), "embedding_1 (embedding) needs integers from 0 to 4 for num_embeddings=5, got 5"),
        (np.array([[-1, 0]]), "embedding_1 (embedding) needs integers from 0 to 4 for num_embeddings=5, got -1"),
        (np.array([[0.0, 1.0]]), "embedding_1 (embedding) needs integers from 0 to 4, got float64"),
        (np.array([[True, False]]), "embedding_1 (embedding) needs integers from 0 to 4, got bool"),
    ],
    ids=["too great", "negative", "real", "boolean"],
)
def test_ids_are_refused(ids: Any, message: str) -> None:
    with pytest.raises(ShapeError) as refusal:
        case(Embedding(5, 2), x=ids, trusted=True)
    assert str(refusal.value) == f"{message}; the data `input` gives (1, 2)"


@pytest.mark.parametrize("padding_idx", [5, -6])
def test_padding_outside_of_the_table_is_refused(padding_idx: int) -> None:
    message = f"needs a padding_idx from -5 to 4 for num_embeddings=5, got {padding_idx}"
    laws.assert_refuses(Embedding(5, 2, padding_idx), (2, 3), message=message)


def test_options_of_a_spec() -> None:
    options = {"num_embeddings": 9, "embedding_dim": 4, "padding_idx": 0}
    assert msgspec.convert(options, Embedding) == Embedding(9, 4, 0)


@pytest.mark.parametrize("option", [{"num_embeddings": 0}, {"embedding_dim": 0}, {"padding_idx": 1.5}], ids=str)
def test_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(option))):
        msgspec.convert({"num_embeddings": 2, "embedding_dim": 2, **option}, Embedding)
