"""The picture of a step is true: slopes are the orders, the plateau is where it is, nothing is dropped in silence."""

from __future__ import annotations

from typing import Any

import msgspec.structs
import numpy as np
import pytest
from core_nets import Reducing, normal, plug, relu_with
from msgspec.structs import replace
from support import case

from gradcheck.errors import UsageError
from gradcheck.evidence import Evidence
from gradcheck.gradients.numeric.ladder import Plateau, Rungs
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.step_sweep import COMPLEX_STEP, LADDER, ONE_STEP, Choice, Reference, StepSweep
from gradcheck.stepping import _credible, _extent, _leading, _Measured, sweep_steps


def swept(*layers: Layer, entry: tuple[str, tuple[int, ...]], method: str = "central", **options: Any) -> StepSweep:
    options.setdefault("x", normal(3, 4))
    return sweep_steps(case(*layers, entries=(entry,), **options), method, lambda *_: None)


WEIGHT = ("linear_1.weight", (2, 1))
NET = (Linear(3), Tanh(), Linear(2))


@pytest.mark.parametrize(("method", "order"), [("forward", 1), ("central", 2), ("five_point", 4), ("complex", 2)])
def test_the_truncation_falls_with_the_order_of_the_scheme(method: str, order: int) -> None:
    found = swept(*NET, entry=WEIGHT, method=method)
    assert found.truncation.measured == pytest.approx(order, abs=0.15)
    assert found.truncation.expected == found.order == order


def test_the_sixth_order_needs_a_function_that_bends() -> None:
    bends = plug(lambda x: np.sin(9 * x), lambda x: 9 * np.cos(9 * x))
    found = swept(bends, entry=("input", (0, 1)), method="richardson", x=normal(2, 3))
    assert found.truncation.measured == pytest.approx(6, abs=0.3)
    assert not swept(*NET, entry=WEIGHT, method="richardson").truncation.points


@pytest.mark.parametrize("method", ["forward", "central", "five_point", "richardson"])
def test_noise_grows_as_the_step_falls(method: str) -> None:
    found = swept(*NET, entry=WEIGHT, method=method)
    assert found.noise.measured == pytest.approx(-1, abs=0.15)
    assert found.noise.points >= 50
    assert all(p.error <= p.noise for p in found.points if p.step < 1e-8)


def test_the_constant_is_that_of_the_third_derivative() -> None:
    third = plug(lambda x: x**3, lambda x: 3 * x**2)
    found = swept(third, entry=("input", (0, 0)), x=np.array([[0.7]]), loss=Mse(), target=[[0.0]], reduction="sum")
    # f = x⁶, f‴/6 = 20 x³
    assert found.truncation.constant == pytest.approx(20 * 0.7**3, rel=1e-3)


def test_the_complex_step_is_the_reference_and_flat() -> None:
    found = swept(*NET, entry=WEIGHT, method="complex")
    assert found.reference.source == COMPLEX_STEP
    assert not found.subtracts
    assert found.noise.measured is None
    assert "subtracts nothing" in found.noise.reason
    assert min(p.step for p in found.points) < 1e-299
    assert max(p.error for p in found.points if p.step < 1e-10) <= found.choice.error_bar
    assert found.plateau is not None
    assert found.plateau[0] < 1e-299


def test_the_step_to_choose_lies_on_the_plateau_and_its_bar_holds() -> None:
    for method in ("forward", "central", "five_point", "richardson"):
        found = swept(*NET, entry=WEIGHT, method=method)
        assert found.choice.settled
        assert found.plateau is not None
        assert found.plateau[0] <= found.choice.step <= found.plateau[1]
        assert abs(found.choice.value - found.reference.value) <= found.choice.error_bar
        assert min(p.error for p in found.points) >= 1e-4 * found.choice.error_bar


def test_too_few_points_are_said_to_be_too_few() -> None:
    found = swept(Linear(2), entry=WEIGHT, loss=Mse(), target=normal(3, 2))
    assert found.truncation.measured is None
    assert found.truncation.reason == "too few points above the noise (0)"


def test_steps_that_leave_the_piece_are_kept_and_marked() -> None:
    found = swept(Relu(), entry=("input", (0, 0)), x=np.array([[1e-3, 1.0], [0.5, -1.0]]))
    met = [p.step for p in found.points if p.kink]
    assert min(met) > 1e-3
    assert max(p.step for p in found.points if not p.kink) <= 1e-3
    assert len(found.points) == 105
    assert found.kink_layers == ("relu_1",)
    assert found.choice.step < 1e-3


def test_a_kink_of_another_sample_is_not_this_entry_s() -> None:
    x = np.array([[1.0, 1.0], [1e-3, 1.0]])
    assert swept(Relu(), entry=("input", (0, 0)), x=x).kink_layers == ()
    assert swept(Relu(), entry=("input", (1, 0)), x=x).kink_layers == ("relu_1",)


def test_an_entry_on_a_kink_has_no_slope_and_no_step() -> None:
    found = swept(Relu(), entry=("input", (0, 0)), x=np.array([[0.0, 1.0], [0.5, -1.0]]))
    assert all(p.kink for p in found.points)
    assert found.truncation.reason == found.noise.reason == "every step met a kink"
    assert not found.choice.settled
    assert found.plateau is None


def test_a_kink_in_the_loss_is_named() -> None:
    same = plug(lambda x: 1 * x, lambda x: 1.0)
    x = np.array([[1e-3, 1.0], [0.5, -1.0]])
    assert swept(same, entry=("input", (0, 0)), x=x, loss=L1(), target=0 * x).kink_layers == ("loss",)


def test_a_gradient_of_zero() -> None:
    x = normal(3, 4)
    x[:, 2] = 0
    found = swept(Linear(2), entry=WEIGHT, x=x)
    assert found.reference.value == 0
    assert all(p.error == 0 for p in found.points)
    assert found.truncation.reason == found.noise.reason == "no error to be seen"


def test_a_forward_that_loses_the_derivative_has_a_ladder_for_reference() -> None:
    found = swept(plug(lambda x: np.abs(x) ** 3, lambda x: 3 * x * np.abs(x)), entry=("input", (0, 1)))
    assert found.reference.source == LADDER
    assert found.reference.reason.startswith("plug_1 returns real numbers for complex ones")
    assert abs(found.analytic - found.reference.value) <= found.reference.error
    assert found.default.scheme == "central"
    assert found.default.reason.endswith("the derivative is lost")


def test_a_forward_in_float32_has_the_noise_of_float32() -> None:
    single = plug(lambda x: np.tanh(x.astype(np.float32)).astype(float), lambda x: 1 - np.tanh(x) ** 2)
    found = swept(single, entry=("input", (0, 1)))
    assert found.noise.measured == pytest.approx(-1, abs=0.2)
    assert 1e-4 < found.choice.step < 0.1
    assert 1e-7 < found.choice.error_bar < 1e-3


def test_nothing_vouches_for_a_reference_where_no_steps_agree() -> None:
    root = plug(lambda x: np.where(x.real < 0, np.nan, np.sqrt(np.abs(x))), lambda x: 0.5 / np.sqrt(x))
    found = swept(root, entry=("input", (0, 0)), x=np.array([[0.0, 2.0], [1.0, 3.0]]))
    assert (found.reference.source, found.reference.error) == (ONE_STEP, np.inf)
    assert not found.choice.settled
    assert found.truncation.reason == found.noise.reason == "no error to be seen"


def test_two_plateaus_that_contradict_each_other_are_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_: Any) -> tuple[Plateau, Plateau]:
        found = Plateau(np.array([3]), np.array([17.0]), np.array([1e-9]), np.array([True]))
        return found, found

    monkeypatch.setattr(Evidence, "ladder", elsewhere)
    found = swept(plug(lambda x: np.abs(x) ** 3, lambda x: 3 * x * np.abs(x)), entry=("input", (0, 1)))
    assert (found.reference.source, found.reference.error) == (ONE_STEP, np.inf)
    assert found.reference.value == found.choice.value == pytest.approx(found.analytic, rel=1e-6)
    assert found.truncation.reason == "nothing vouches for the reference"
    assert found.plateau is None


def test_steps_too_short_to_move_anything_do_not_agree_on_zero() -> None:
    found = swept(plug(lambda x: np.round(x * 1e6) / 1e6, lambda x: 1.0), entry=("input", (0, 1)))
    assert any(p.value == 0 for p in found.points)
    assert found.choice.value == pytest.approx(found.analytic, rel=1e-2)


def test_a_parameter_without_axes_and_a_loss_that_reduces_by_itself() -> None:
    class Gain(Layer):
        def init(self, rng: Any, *shapes: Any) -> Any:
            return {"gain": np.array(1.3)}

        def forward(self, x: Any, gain: Any) -> Any:
            return np.tanh(gain * x), (x, gain)

        def backward(self, dy: Any, cache: Any) -> Any:
            x, gain = cache
            slope = 1 - np.tanh(gain * x) ** 2
            return dy * gain * slope, {"gain": np.sum(dy * x * slope)}

    found = swept(Gain(), entry=("gain_1.gain", ()), loss=Reducing(), target=normal(3, 4, seed=1))
    assert found.index == ()
    assert found.at == 1.3
    assert found.truncation.measured == pytest.approx(2, abs=0.1)
    assert found.noise.measured == pytest.approx(-1, abs=0.15)
    assert found.analytic == pytest.approx(found.reference.value, rel=1e-12)


def test_points_outside_the_domain_are_kept() -> None:
    root = plug(lambda x: np.where(x.real > 0, np.sqrt(x), np.nan), lambda x: 0.5 / np.sqrt(x))
    found = swept(root, entry=("input", (0, 0)), x=np.array([[1e-3, 2.0], [1.0, 3.0]]))
    lost = [p for p in found.points if not np.isfinite(p.error)]
    assert lost
    assert min(p.step for p in lost) >= 1e-3
    assert found.truncation.measured == pytest.approx(2, abs=0.1)


def test_a_backward_that_says_nothing_is_drawn_all_the_same() -> None:
    found = swept(plug(lambda x: x * x, lambda x: np.nan * x), entry=("input", (0, 1)))
    assert np.isnan(found.analytic)
    assert "NaN or Inf" in found.failure
    assert np.isfinite(found.reference.value)


def test_complex_is_refused_where_it_is_not_safe() -> None:
    magnitude = plug(np.abs, np.sign)
    with pytest.raises(UsageError, match=r"--method complex cannot be used on test.yaml: plug_1 returns real numbers"):
        swept(magnitude, Linear(2), entry=("input", (0, 1)), method="complex")
    behind = swept(magnitude, Linear(2), entry=("linear_1.bias", (1,)), method="complex")
    assert behind.reference.source == COMPLEX_STEP


def test_a_black_box_with_a_kink_near_by_is_flatter_than_its_order() -> None:
    found = swept(relu_with(0.0, black_box=True), entry=("input", (0, 0)), x=np.array([[1e-3, 1.0], [0.5, -1.0]]))
    assert found.truncation.measured is None or not found.truncation.as_expected
    assert found.kink_layers == ()


def test_what_run_takes_is_what_the_spec_says() -> None:
    of = case(*NET, x=normal(3, 4), entries=(WEIGHT,), method="five_point", step=1e-3)
    found = sweep_steps(of, "central", lambda *_: None)
    assert (found.default.scheme, found.default.step) == ("five_point", 1e-3)
    demanding = replace(of, gradient=replace(of.gradient, method="complex", step=None))
    assert sweep_steps(demanding, "central", lambda *_: None).default.scheme == "complex"


def test_the_slope_is_taken_where_the_truncation_has_become_a_power() -> None:
    wave = plug(lambda x: np.sin(60 * x), lambda x: 60 * np.cos(60 * x))
    found = swept(wave, entry=("input", (0, 1)))
    assert found.truncation.measured == pytest.approx(2, abs=0.02)
    assert found.truncation.longest < 0.01


def test_the_truncation_side_ends_where_two_points_in_a_row_are_noise() -> None:
    usable = np.array([1, 1, 0, 1, 1, 1, 1, 1], dtype=bool)
    above = np.array([1, 1, 1, 0, 1, 0, 0, 1], dtype=bool)
    assert _leading(usable, above).tolist() == [0, 1, 4]


def test_steps_that_see_nothing_where_longer_ones_do_are_not_credible() -> None:
    steps = 10.0 ** -np.arange(6)
    values, noise = np.array([[1.0], [1], [1], [0], [0], [0]]), np.full((6, 1), 0.1)
    rungs = Rungs(steps, values, noise, noise > 1, magnitude=np.ones(1), reduced={})
    assert _credible(rungs).kink[:, 0].tolist() == [False, True]
    noisy = msgspec.structs.replace(rungs, noise=np.full((6, 1), 2.0))
    assert not _credible(noisy).kink.any()


def test_the_plateau_has_no_gap_and_no_kink() -> None:
    step = 10.0 ** -np.arange(7)
    error = np.array([0.1, 0.1, 9, 0.1, 0.1, 0.1, 9])
    at = _Measured(step, step, error, step, np.array([0, 0, 0, 1, 0, 0, 0], dtype=bool))
    reference = Reference(0.0, 0.0, LADDER)
    assert _extent(at, Choice(1e-5, 0.0, 1.0, settled=True), reference) == (1e-5, 1e-4)
    assert _extent(at, Choice(1e-6, 0.0, 1.0, settled=True), reference) is None
    assert _extent(at, Choice(1e-5, 0.0, 1.0, settled=False), reference) is None
