"""Which way a case goes, by its size alone, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from core_nets import Centred, Normalised, normal
from support import case

from gradcheck._course import USUAL, course, in_words
from gradcheck._scene import prepare
from gradcheck.gradients.numeric.cost import products_of_copy, seconds_of_sweep
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh

X = normal(6, 5)


@pytest.mark.parametrize(("seconds", "words"), [
    (0.0, "0.001 s"), (0.0234, "0.02 s"), (0.96, "1 s"), (8.4, "8 s"), (38.0, "40 s"), (89.0, "90 s"), (95.0, "2 min"),
    (5399.0, "90 min"), (7200.0, "2 h"), (3.6e7, "10,000 h"),
])  # fmt: skip
def test_seconds_in_one_digit(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def chosen(seconds: float, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    monkeypatch.setattr("gradcheck._course.seconds_of_sweep", lambda stage, names, evaluations: seconds / 3)
    net = case(Linear(3), x=X, **options)
    scene = prepare(net)
    return course(net, scene.stage, scene.schemes)


def test_a_short_sweep_is_swept_and_a_long_one_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(7.0, monkeypatch).directions == 0
    long = chosen(70.0, monkeypatch)
    assert long.directions == USUAL
    assert "because a sweep of 48 entries would take about 70 s; `--directions 0` forces it" in long.why


def test_what_is_asked_for_is_done_whatever_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(7e5, monkeypatch, directions=0).directions == 0
    assert chosen(1e-3, monkeypatch, directions=3).directions == 3
    assert chosen(1e-3, monkeypatch, directions=1).directions == 2


def test_entries_go_before_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = (("linear_1.weight", (2, 1)), ("linear_1.weight", (0, 0)))
    few = chosen(1e-3, monkeypatch, entries=entries)
    assert not few.is_short
    alone = chosen(70.0, monkeypatch, entries=entries)
    assert alone.directions == 0
    assert alone.only["linear_1.weight"].tolist() == [0, 7]
    assert chosen(1e-3, monkeypatch, entries=entries, directions=4).only.keys() == {"linear_1.weight"}


def test_cost_grows_with_the_entries_and_with_what_lies_behind_them() -> None:
    small, large = (prepare(case(Linear(n), Tanh(), Linear(3), x=X)).stage for n in (8, 80))
    assert 9 < seconds_of_sweep(large, ["linear_1.weight"]) / seconds_of_sweep(small, ["linear_1.weight"]) < 100
    assert products_of_copy(small, "linear_1.bias") > products_of_copy(small, "linear_2.bias")
    assert seconds_of_sweep(small, ["linear_1.bias"], 4) == 4 * seconds_of_sweep(small, ["linear_1.bias"])


def test_copies_that_cannot_be_stacked_cost_more() -> None:
    alone, coupled = (prepare(case(Linear(8), layer, x=X)).stage for layer in (Tanh(), Centred()))
    assert coupled.coupled
    assert seconds_of_sweep(coupled, ["linear_1.weight"]) > 3 * seconds_of_sweep(alone, ["linear_1.weight"])
    assert seconds_of_sweep(coupled, ["input"]) > seconds_of_sweep(alone, ["input"])


def test_a_layer_with_a_matrix_counts_its_products() -> None:
    narrow, wide = (prepare(case(Linear(4), Normalised(), Linear(n), x=X)).stage for n in (2, 400))
    assert products_of_copy(wide, "linear_1.weight") > 2 * products_of_copy(narrow, "linear_1.weight")
