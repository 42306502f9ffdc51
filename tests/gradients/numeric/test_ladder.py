from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from core_nets import normal, plug, stage_of
from hypothesis import given
from hypothesis import strategies as st
from support import case

from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import (
    RATIO,
    Plateau,
    Question,
    Rungs,
    best_two,
    climb,
    extrapolated,
    ladder_steps,
    plateau,
)
from gradcheck.gradients.numeric.schemes import SCHEMES, Scheme
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse

U = 2.0**-53
STEPS = ladder_steps(np.ones(1))
real_schemes = pytest.mark.parametrize("scheme", [s for s in SCHEMES.values() if s.order], ids=lambda s: s.name)


def rungs_of(
    f: Callable[[Any], Any], x: float, scheme: Scheme = SCHEMES["central"], steps: Any = STEPS, noise: float = U
) -> Rungs:
    """The scheme on a function of one number, with noise of a given size relative to the function."""
    values = np.array([scheme.combine([f(x + o.real * h) for o in scheme.offsets], h) for h in steps])[:, None]
    floor = 6 * noise * max(1.0, abs(f(x))) * scheme.noise_gain() / steps + 2 * U * abs(x) / steps * np.abs(
        values[:, 0]
    )
    nothing = np.zeros(values.shape, dtype=bool)
    return Rungs(np.asarray(steps), values, floor[:, None], nothing, np.abs(values[-1]), {})


def only(found: Plateau) -> tuple[float, float, bool]:
    return float(found.value[0]), float(found.error[0]), bool(found.settled[0])


SMOOTH = {
    "exp": (np.exp, np.exp),
    "sin 3x": (lambda x: np.sin(3 * x), lambda x: 3 * np.cos(3 * x)),
    "exp sin": (lambda x: np.exp(np.sin(2 * x)), lambda x: 2 * np.cos(2 * x) * np.exp(np.sin(2 * x))),
    "1/(1+x²)": (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "steep tanh": (lambda x: np.tanh(30 * x), lambda x: 30 / np.cosh(30 * x) ** 2),
}


@pytest.mark.parametrize("name", SMOOTH)
@real_schemes
def test_plateau_covers_the_truth_and_is_sharp(name: str, scheme: Scheme) -> None:
    f, slope = SMOOTH[name]
    for x in np.linspace(-1.3, 1.1, 60):
        value, error, settled = only(plateau(rungs_of(f, float(x), scheme)))
        if settled:
            assert abs(value - slope(x)) <= error + 1e-14 * abs(slope(0.0)), x
    typical, error, settled = only(plateau(rungs_of(f, 0.02, scheme)))
    assert settled
    assert error <= {1: 1e-4, 2: 1e-6, 4: 1e-7, 6: 1e-7}[scheme.order] * abs(typical)


@given(st.floats(1, 1e5), st.floats(-2, 2), st.floats(0, 6))
def test_an_oscillation_is_never_read_off_with_confidence_and_wrong(omega: float, x: float, phase: float) -> None:
    rungs = rungs_of(lambda t: np.sin(omega * t + phase), x)
    truth = omega * np.cos(omega * x + phase)
    for found in best_two(rungs, SCHEMES["central"]):
        value, error, settled = only(found)
        assert not settled or abs(value - truth) <= error + 1e-9 * omega


@pytest.mark.parametrize("periods", [1, 2, 8])
def test_an_oscillation_whose_period_divides_a_step_is_not_flat(periods: int) -> None:
    omega = 2 * np.pi * periods / STEPS[4]
    value, error, settled = only(plateau(rungs_of(lambda t: np.sin(omega * t), 0.3)))
    assert not settled or abs(value - omega * np.cos(0.3 * omega)) <= error


def test_there_is_no_plateau_without_three_rungs_that_agree() -> None:
    count = len(STEPS)
    growing = np.arange(float(count))[:, None] ** 3
    jumping = Rungs(STEPS, growing, np.zeros((count, 1)), np.zeros((count, 1), bool), np.ones(1), {})
    _, error, settled = only(plateau(jumping))
    assert not settled
    assert error == np.inf


def test_rungs_that_meet_a_kink_or_leave_the_domain_are_not_used() -> None:
    rungs = rungs_of(np.exp, 0.2)
    kink = rungs.kink.copy()
    kink[:6] = True
    values = rungs.values.copy()
    values[10:] = np.nan
    found = plateau(Rungs(rungs.steps, values, rungs.noise, kink, rungs.magnitude, {}))
    assert found.settled[0]
    assert 7 <= found.rung[0] <= 8
    assert abs(found.value[0] - np.exp(0.2)) <= found.error[0]


def test_extrapolation_takes_the_order_up() -> None:
    rungs = rungs_of(np.exp, 0.2, steps=RATIO ** -np.arange(5.0))
    for order in (2, 4):
        higher = extrapolated(rungs, order, 2)
        off = np.abs(higher.values[:, 0] - np.exp(0.2))
        slopes = np.log(off[:-1] / off[1:]) / np.log(RATIO)
        assert abs(slopes[0] - (order + 2)) < 0.3
        assert (higher.noise > rungs.noise[1:]).all()
        rungs = higher


def test_best_and_second_are_of_different_orders_and_agree() -> None:
    best, second = best_two(rungs_of(np.exp, 0.2), SCHEMES["central"])
    assert best.error[0] <= second.error[0] < np.inf
    assert best.value[0] != second.value[0]
    assert abs(best.value[0] - second.value[0]) <= best.error[0] + second.error[0]
    assert best.error[0] < 1e-11
    assert plateau(rungs_of(np.exp, 0.2)).error[0] > 10 * best.error[0]


def test_more_noise_means_longer_steps_and_wider_bars() -> None:
    rng = np.random.default_rng(3)
    found = []
    for noise in (1e-14, 1e-10, 1e-6):
        f = lambda t, noise=noise: np.exp(t) * (1 + noise * rng.standard_normal())  # noqa: E731
        value, error, _ = only(best_two(rungs_of(f, 0.2, noise=noise), SCHEMES["central"])[0])
        assert abs(value - np.exp(0.2)) <= error
        found.append(error)
    assert found[0] * 50 < found[1] < found[2] / 50


def test_steps_follow_the_scale_and_no_ratio_is_a_power_of_two() -> None:
    assert np.all(np.diff(STEPS) < 0)
    np.testing.assert_allclose(ladder_steps(np.full(4, -1e6)), 1e6 * STEPS)
    np.testing.assert_array_equal(ladder_steps(np.zeros(3)), STEPS)
    ratios = STEPS[:, None] / STEPS
    assert np.abs(np.log2(ratios[np.triu_indices(len(STEPS), 1)]) % 1).min() > 1e-3


# On a network ---------------------------------------------------------------------------------------------------------


def question(stage: Stage, noise: float = 1e-16) -> Question:
    shape = np.shape(stage.network.forward(stage.point).losses[0])
    weights = [stage.observables.weights(0, reduction, stage.arrays, shape) for reduction in ("mean", "sum")]
    return Question(weights[0], {"sum": weights[1]}, np.full(len(weights[0]), noise))


@real_schemes
@pytest.mark.parametrize("name", ["linear_1.weight", "input"])
def test_climbing_is_the_scheme_at_every_step(name: str, scheme: Scheme) -> None:
    net = case(Linear(3), Tanh(), x=normal(4, 2), loss=Mse(), target=normal(4, 3))
    stage, steps, entries = stage_of(net), np.array([1e-1, 3e-3]), np.array([5, 1])
    found = climb(stage, name, entries, scheme, question(stage), steps)

    def objective(entry: int, move: float) -> float:
        array = net.point.arrays[name].copy()
        array.reshape(-1)[entry] += move
        return net.network.objective(net.network.forward(net.point.with_arrays({name: array})))

    for r, h in enumerate(steps):
        for k, entry in enumerate(entries):
            by_hand = sum(w * objective(entry, o.real * h) for o, w in zip(scheme.offsets, scheme.weights, strict=True))
            np.testing.assert_allclose(found.values[r, k], by_hand / h, rtol=1e-9)
    np.testing.assert_allclose(found.reduced["sum"], 12 * found.values[-1], rtol=1e-9)
    assert (found.noise[1] > 10 * found.noise[0]).all()
    assert (found.magnitude >= np.abs(found.values[-1]) * (1 - 1e-12)).all()


def test_what_two_steps_have_in_common_is_evaluated_once() -> None:
    calls = []
    layer = plug(lambda x: (calls.append(len(x)), np.sin(x))[1], np.cos)
    stage = stage_of(case(layer, x=normal(4, 2)))
    calls.clear()
    climb(stage, "input", np.arange(8), SCHEMES["five_point"], question(stage), np.array([2e-3, 1e-3]))
    assert len(calls) == 6 + 1  # the forward that `question` asks for


def test_a_kink_is_noted_at_the_steps_that_meet_it_and_no_other() -> None:
    x = np.full((1, 2), 1e-3)
    stage = stage_of(case(Relu(), x=x, loss=Mse(), target=np.ones((1, 2))))
    watch = KinkWatch(stage.network, stage.arrays)
    found = climb(stage, "input", np.arange(2), SCHEMES["central"], question(stage), np.array([1e-2, 1e-4]), watch)
    np.testing.assert_array_equal(found.kink, [[True, True], [False, False]])
