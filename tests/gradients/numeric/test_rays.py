"""Slopes along rays: those of the sweep of every entry, added up, for every kind of network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Centred, graph, normal, relu_with, stage_of
from support import case

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import Question, climb
from gradcheck.gradients.numeric.rays import Ray, climb_along, observables_along
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP, SCHEMES
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.spec.case import Case

X = normal(5, 3)
STEPS = np.array([COMPLEX_STEP])


def branched() -> Case:
    layers: list[Any] = [
        ("a", Linear(4), ("input",)), ("b", Tanh(), ("a",)), ("c", Linear(4), ("a",)), ("d", Add(), ("b", "c")),
    ]  # fmt: skip
    terms = [
        Term(Mse(), "mean", 1.0, ("d",), {"target": "target"}),
        Term(Mse(), "sum", 0.5, ("b",), {"target": "target"}, name="loss_2"),
    ]
    return graph({"input": X, "target": normal(5, 4)}, layers, terms)


NETS: dict[str, Case] = {
    "chain": case(Linear(4), Tanh(), Linear(2), x=X),
    "coupled": case(Linear(4), Centred(), Tanh(), x=X),
    "branched": branched(),
}


def question(stage: Stage) -> Question:
    return Question(np.random.default_rng(1).standard_normal(stage.observables.width), {}, np.zeros(1))


def signs(stage: Stage, name: str, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-1, 2, stage.arrays[name].shape).astype(np.int8)


@pytest.mark.parametrize("net", NETS)
def test_a_slope_is_the_sum_of_the_entries_slopes(net: str) -> None:
    stage = stage_of(NETS[net])
    asked, scheme = question(stage), SCHEMES["complex"]
    names = (*stage.point.parameters, "input")
    rays = [Ray({name: signs(stage, name, seed)}) for name in names for seed in range(2)]
    together = climb_along(stage, rays, scheme, asked, STEPS)
    for k, ray in enumerate(rays):
        (name,) = ray.moves
        every = climb(stage, name, np.arange(stage.arrays[name].size), scheme, asked, STEPS).values[0]
        expected = float(every @ ray.signs.reshape(-1))
        assert together.values[0, k] == pytest.approx(expected, rel=1e-12, abs=1e-14), name
        alone = climb_along(stage, [ray], scheme, asked, STEPS)
        assert alone.values[0, 0] == pytest.approx(expected, rel=1e-12, abs=1e-14), name


@pytest.mark.parametrize("net", NETS)
def test_tensors_that_move_together_add_up(net: str) -> None:
    stage = stage_of(NETS[net])
    asked, scheme = question(stage), SCHEMES["complex"]
    moves = {name: signs(stage, name) for name in (*stage.point.parameters, "input")}
    each = climb_along(stage, [Ray({name: move}) for name, move in moves.items()], scheme, asked, STEPS)
    joint = climb_along(stage, [Ray(moves)], scheme, asked, STEPS)
    assert joint.values[0, 0] == pytest.approx(each.values.sum(), rel=1e-12)


@pytest.mark.parametrize("scheme", ["central", "five_point", "richardson", "forward"])
def test_real_schemes_find_the_same_slope(scheme: str) -> None:
    stage = stage_of(NETS["chain"])
    ray, asked = Ray({"linear_1.weight": signs(stage, "linear_1.weight")}), question(stage)
    expected = climb_along(stage, [ray], SCHEMES["complex"], asked, STEPS).values[0, 0]
    step = SCHEMES[scheme].relative_step()
    found = climb_along(stage, [ray], SCHEMES[scheme], asked, np.array([step]))
    assert found.values[0, 0] == pytest.approx(expected, rel=1e-5)
    assert found.noise[0, 0] > 0


def test_an_entry_that_is_masked_stays() -> None:
    stage = stage_of(NETS["chain"])
    one = np.zeros(stage.arrays["linear_1.weight"].shape, dtype=np.int8)
    one[1, 2] = -1
    asked, scheme = question(stage), SCHEMES["complex"]
    every = climb(stage, "linear_1.weight", np.array([6]), scheme, asked, STEPS).values[0, 0]
    found = climb_along(stage, [Ray({"linear_1.weight": one})], scheme, asked, STEPS)
    assert found.values[0, 0] == pytest.approx(-every, rel=1e-14)


def test_a_ray_that_leaves_its_piece_has_met_a_kink() -> None:
    at_zero = {"linear_1.bias": np.zeros(4)}
    net = case(Linear(4), relu_with(0.0), x=0 * X, parameters=at_zero)
    stage = stage_of(net)
    watch = KinkWatch(stage.network, stage.arrays)
    rays = [Ray({name: signs(stage, name)}) for name in ("linear_1.bias", "linear_1.weight")]
    found = climb_along(stage, rays, SCHEMES["complex"], question(stage), STEPS, watch)
    assert found.kink.tolist() == [[True, False]]  # the inputs are zero, so weights move nothing
    crossing = stage_of(case(Linear(4), Relu(), x=X))
    far = climb_along(
        crossing, [Ray({"linear_1.bias": signs(crossing, "linear_1.bias", 3)})], SCHEMES["central"],
        question(crossing), np.array([10.0]), KinkWatch(crossing.network, crossing.arrays),
    )  # fmt: skip
    assert far.kink.all()


class Root(Layer):
    """y = √x, and a complaint below 0."""

    def forward(self, x: Any) -> Any:
        if (x.real < 0).any():
            raise ValueError("below 0")
        return np.sqrt(x), x

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy / (2 * np.sqrt(cache)), {}


def test_a_ray_out_of_the_domain_is_no_number_and_leaves_the_others_alone() -> None:
    stage = stage_of(case(Root(), x=np.array([[1.0, 4.0], [9.0, 0.5]])))
    up = np.ones((2, 2), dtype=np.int8)
    values, _ = observables_along(stage, [Ray({"input": -up}), Ray({"input": up})], 1.0)
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1]).all()


def test_a_forward_that_raises_at_the_point_itself_is_a_failure() -> None:
    stage = stage_of(case(Root(), x=np.array([[1.0, 4.0]])))
    broken = Stage(
        stage.network, stage.point, stage.coupled, stage.observables, {**stage.arrays, "input": np.array([[-1.0, 4.0]])}
    )
    with pytest.raises(LayerFailure, match="below 0"):
        observables_along(broken, [Ray({"input": np.ones((1, 2), dtype=np.int8)})], 0.1)


def test_ticks_count_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck.gradients.numeric.rays._TOGETHER", 2)
    stage = stage_of(NETS["chain"])
    rays = [Ray({"input": signs(stage, "input", seed)}) for seed in range(3)]
    ticks: list[int] = []
    whole = climb_along(stage, rays, SCHEMES["complex"], question(stage), STEPS, tick=ticks.append)
    assert ticks == [2, 3]
    assert whole.values.shape == (1, 3)
