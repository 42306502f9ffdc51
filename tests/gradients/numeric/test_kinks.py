from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Reducing, blamed, errors, normal, notes, pair_max, plug, relu_with, row, stage_of, told, wrong
from support import case, check

from gradcheck.findings import SpecReport
from gradcheck.gradients.numeric.entries import Moves
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP
from gradcheck.gradients.numeric.sweep import perturbed_observables
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.pipeline import check_case
from gradcheck.spec.case import Case

methods = pytest.mark.parametrize("method", ["auto", "central"])
black_or_telling = pytest.mark.parametrize("black_box", [True, False], ids=["black box", "telling"])


def zeros_in(x: Any) -> Any:
    """One column and one whole sample exactly zero."""
    x = x.copy()
    x[:, 0] = 0
    x[1] = 0
    return x


def at_zero(slope: float, black_box: bool, **options: Any) -> SpecReport:
    """Linear without a bias over partly zero samples, so that the ReLU behind it sits on its kink."""
    layers = (Linear(3, bias=False), relu_with(slope, black_box))
    return check(*layers, x=zeros_in(normal(4, 3)), checks=["gradient"], **options)


def tied(shares: tuple[float, float], black_box: bool, **options: Any) -> SpecReport:
    x = normal(3, 6)
    x[0, :4] = [0.5, 0.5, -0.2, -0.2]
    x[2, 2:4] = 0.25
    return check(pair_max(shares, black_box), x=x, checks=["gradient"], **options)


# Valid on either side -------------------------------------------------------------------------------------------------


@methods
@black_or_telling
@pytest.mark.parametrize("slope", [0.0, 1.0, 0.3])
def test_any_slope_between_the_two_at_zero_is_no_failure(slope: float, black_box: bool, method: str) -> None:
    report = at_zero(slope, black_box, method=method, dtype="float32" if slope == 1 else "float64")
    assert not report.findings, told(report)
    assert report.verdict in ("kink", "pass"), told(report)
    assert report.counts.kink in (0, 3), told(report)
    if not black_box:
        assert row(report, "input").counts.kink == 3, "the zero sample's three entries sit on the kink"


@methods
@black_or_telling
@pytest.mark.parametrize("shares", [(1, 0), (0, 1), (0.3, 0.7)])
def test_any_share_of_a_tie_that_adds_up_is_no_failure(shares: Any, black_box: bool, method: str) -> None:
    report = tied(shares, black_box, method=method)
    assert not report.findings, told(report)
    assert report.counts.kink in (0, 6), told(report)
    if not black_box:
        assert report.counts.kink == 6, told(report)


@methods
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_absolute_error_of_a_perfect_prediction_is_no_failure(method: str, reduction: str) -> None:
    x = normal(4, 3)
    target = np.where(normal(4, 3, seed=1) > 0, x, 0)
    for layers in ((), (Linear(3),)):
        identity = {"linear_1.weight": np.eye(3), "linear_1.bias": np.zeros(3)}
        report = check(*layers, x=x, loss=L1(), target=target, method=method, reduction=reduction,
                       parameters=identity, trusted=True, checks=["gradient"])  # fmt: skip
        assert not errors(report), told(report)
        assert report.counts.fail == report.counts.inconclusive == 0, told(report)
        assert row(report, "input").counts.kink == (target == x).sum(), told(report)


# Outside --------------------------------------------------------------------------------------------------------------


@methods
@black_or_telling
@pytest.mark.parametrize("slope", [5.0, -1.0, 1.01])
def test_slope_outside_fails_at_the_right_layer(slope: float, black_box: bool, method: str) -> None:
    report = at_zero(slope, black_box, method=method)
    name = "black_relu_1" if black_box else "relu_at_1"
    assert blamed(report) == [(name, None)], told(report)
    assert row(report, "input").counts.fail == 3, told(report)
    assert [f.parameter for f in report.findings if f.consequence_of] == ["input"], told(report)


@methods
@black_or_telling
@pytest.mark.parametrize("shares", [(1, 1), (0, 0), (2, -1), (0.4, 0.4)])
def test_shares_of_a_tie_that_do_not_add_up_fail_at_the_right_layer(shares: Any, black_box: bool, method: str) -> None:
    report = tied(shares, black_box, method=method)
    assert {finding.layer for finding in errors(report)} == {"pair_max_1"}, told(report)
    assert report.counts.fail >= 3, told(report)


@methods
def test_wrong_gradient_of_a_parameter_is_not_excused_by_the_kink_that_it_moves(method: str) -> None:
    own = {"wrong_linear_1.weight": normal(3, 3), "wrong_linear_1.bias": np.zeros(3)}
    layer = wrong(lambda dx, g: (dx, {**g, "bias": 3 * g["bias"]}))
    report = check(layer, Relu(), Linear(2), x=zeros_in(normal(4, 3)), parameters=own, method=method,
                   checks=["gradient"], trusted=True)  # fmt: skip
    assert blamed(report) == [("wrong_linear_1", "wrong_linear_1.bias")], told(report)
    assert row(report, "wrong_linear_1.bias").counts.fail == 3, told(report)


@methods
def test_mistake_in_a_layer_that_has_nothing_to_do_with_the_kink_is_not_excused_by_it(method: str) -> None:
    class Shrunk(Linear):
        def backward(self, dy: Any, cache: Any) -> Any:
            dx, gradients = super().backward(dy, cache)
            return 0.99 * dx, gradients

    for layers in ((Shrunk(3, bias=False), Relu()), (Relu(), Shrunk(3, bias=False))):
        report = check(*layers, Linear(2), x=zeros_in(normal(4, 3)), method=method, checks=["gradient"])
        assert {finding.layer for finding in errors(report)} == {"shrunk_1"}, told(report)


FORMS = {
    "maximum": lambda x: np.maximum(x, 0),
    "comparison": lambda x: x * (x > 0),
    "half of x and |x|": lambda x: (x + np.abs(x)) / 2,
    "clip": lambda x: np.clip(x, 0, None),
}


@pytest.mark.parametrize("forward", FORMS.values(), ids=FORMS)
def test_black_box_is_judged_alike_however_it_is_written(forward: Any) -> None:
    """At zero, numpy's own comparisons of complex numbers look at the sign of the step."""
    for slope, fails in ((0.0, 0), (1.0, 0), (5.0, 3)):
        layer = plug(forward, lambda x, slope=slope: np.where(x == 0, slope, x > 0))
        report = check(Linear(3, bias=False), layer, Linear(2), x=zeros_in(normal(4, 3)), checks=["gradient"])
        assert report.counts.fail == fails, told(report)
        assert blamed(report) == ([("plug_1", None)] if fails else []), told(report)


@methods
def test_reducing_loss_on_its_kinks_is_judged_by_its_own_slopes(method: str) -> None:
    class Absolute(Reducing):
        slope = 0.0

        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            error = prediction - target
            factor = self.share(target) if reduction == "mean" else 1
            return (factor * np.where(error.real > 0, error, -error)).sum(), (error, factor)

        def backward(self, upstream: Any, cache: Any) -> Any:
            error, factor = cache
            return upstream * factor * np.where(error == 0, self.slope, np.sign(error))

    x = normal(4, 3)
    target = np.where(normal(4, 3, seed=1) > 0, x, 0)
    for slope, fails in ((0.0, 0), (-1.0, 0), (0.3, 0), (1.5, 6)):
        Absolute.slope = slope
        report = check(x=x, loss=Absolute(), target=target, method=method, checks=["gradient"])
        assert report.counts.fail == fails, told(report)
        assert blamed(report) == ([("loss", "input")] if fails else []), told(report)


@methods
@pytest.mark.parametrize("telling", [True, False])
def test_layer_that_couples_samples_is_judged_on_its_kinks_too(method: str, telling: bool) -> None:
    class CentredRelu(Layer):
        slope = 0.0

        def forward(self, x: Any) -> Any:
            z = x - x.mean(axis=0)
            return np.where(z.real > 0, z, 0), z

        def backward(self, dy: Any, z: Any) -> Any:
            dz = np.where(z > 0, dy, np.where(z < 0, 0, self.slope * dy))
            return dz - dz.mean(axis=0), {}

        def branches(self, *inputs: Any, **parameters: Any) -> Any:
            z = inputs[0].real - inputs[0].real.mean(axis=0)
            return np.where(z == 0, -1, z > 0) if telling else None

    x = normal(4, 3)
    x[:, 0] = 0.5
    for slope, layers in ((0.0, set()), (1.0, set()), (3.0, {"centred_relu_1"})):
        CentredRelu.slope = slope
        report = check(CentredRelu(), Linear(2), x=x, method=method, checks=["gradient"])
        assert {finding.layer for finding in errors(report)} == layers, told(report)
        assert report.counts.inconclusive == 0, told(report)


def test_finding_at_a_kink_says_which_slopes_are_allowed() -> None:
    (finding,) = errors(at_zero(5.0, black_box=False))
    assert finding.code == "GC114"
    assert "at this kink" in finding.message


# Real networks on kinks -----------------------------------------------------------------------------------------------


def zero_background(**options: Any) -> Case:
    """A small convolutional net without biases over images that are mostly zero: units sit exactly on their kinks."""
    x = np.zeros((2, 1, 6, 6))
    x[:, :, 2:4, 3:5] = np.abs(normal(2, 1, 2, 2))
    layers = (Conv2d(2, 3, bias=False), Relu(), MaxPool2d(2), Flatten(), Linear(2))
    options = {"checks": ["gradient"], "trusted": True, **options}
    return case(*layers, x=x, loss=CrossEntropy(), target=np.array([0, 1]), **options)


@pytest.mark.parametrize("method", ["auto", "central", "five_point"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_convolution_over_zero_pixels_has_no_failure(method: str, dtype: str) -> None:
    report = check_case(zero_background(method=method, dtype=dtype))
    assert not errors(report), told(report)
    assert report.counts.fail == 0, told(report)
    assert report.counts.kink > 20, told(report)
    assert report.verdict == "kink", told(report)


def xor(first: Layer, name: str, **options: Any) -> SpecReport:
    """XOR: the second unit is at 1 - 1 = 0 for (0, 1) and (1, 0), on its kink by a computation; a third one is not."""
    x, target = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]])
    last = "linear_2" if name == "linear_1" else "linear_1"
    own = {
        f"{name}.weight": np.concatenate([np.ones((2, 2)), normal(2, 1)], axis=1),
        f"{name}.bias": np.array([0, -1, 0.3]),
        f"{last}.weight": np.array([[1.0], [-2.0], [0.7]]),
        f"{last}.bias": np.array([0.3]),
    }
    return check(
        first, Relu(), Linear(1), x=x, loss=Mse(), target=target, parameters=own, checks=["gradient"], **options
    )


@methods
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_unit_on_a_computed_kink_leaves_the_others_judged(method: str, dtype: str) -> None:
    report = xor(Linear(3), "linear_1", method=method, dtype=dtype)
    assert not report.findings, told(report)
    assert report.counts.fail == report.counts.inconclusive == 0, told(report)
    assert row(report, "linear_1.weight").counts.passed >= 2, told(report)
    assert row(report, "linear_1.weight").error_bar < 1e-3, told(report)


@methods
def test_unit_on_a_computed_kink_does_not_excuse_the_mistakes_of_the_others(method: str) -> None:
    def third_unit(dx: Any, g: Any) -> Any:
        g["weight"][:, 2] *= -3
        g["bias"][2] += 5
        return dx, g

    report = xor(wrong(third_unit), "wrong_linear_1", method=method)
    assert {parameter for _, parameter in blamed(report)} == {"wrong_linear_1.weight", "wrong_linear_1.bias"}


def test_kinks_do_not_spoil_the_figures_of_the_smooth_entries() -> None:
    found = row(check_case(zero_background(method="central")), "input")
    assert found.counts.kink > 0
    assert found.max_rel_error < 1e-6
    assert found.worst is not None
    assert abs(found.worst.analytic - found.worst.numeric) <= found.worst.error_bar


def test_vacuous_is_not_said_of_a_tensor_on_kinks_that_has_a_gradient() -> None:
    report = check(Relu(), Linear(2), x=zeros_in(normal(4, 3)))
    assert not notes(report), told(report)


# The watch ------------------------------------------------------------------------------------------------------------


def met(net: Case, name: str, entries: Any, step: complex) -> Any:
    """Which copies and samples the watch has seen leaving their piece."""
    stage = stage_of(net)
    watch = KinkWatch(stage.network, stage.arrays)
    moves = Moves(name, np.asarray(entries), stage.arrays[name].shape, fused=False)
    watch.start(len(moves), stage.point.batch_size)
    perturbed_observables(stage, moves, np.full(len(moves), step), watch)
    return watch.met


def two_units() -> Case:
    """Two ReLU units over two samples; the second unit of the first sample is 0.01 above its kink."""
    weights = {"linear_1.weight": np.eye(2), "linear_1.bias": np.zeros(2), "linear_2.weight": np.ones((2, 1))}
    x = np.array([[1.0, 0.01], [-1.0, 1.0]])
    return case(Linear(2), Relu(), Linear(1, bias=False), x=x, parameters=weights)


def test_copies_that_cross_are_met_in_the_sample_that_crosses() -> None:
    np.testing.assert_array_equal(met(two_units(), "linear_1.bias", [0, 1], -0.02), [[False, False], [True, False]])
    assert not met(two_units(), "linear_1.bias", [0, 1], 0.02).any()
    assert not met(two_units(), "linear_1.bias", [0, 1], 1j * COMPLEX_STEP).any()
    np.testing.assert_array_equal(met(two_units(), "input", [1, 3], -0.02), [[True, False], [False, False]])


def test_border_is_met_by_every_move_that_leaves_it() -> None:
    net = two_units()
    on_border = net.point.with_arrays({"input": np.array([[1.0, 0.0], [-1.0, 1.0]])})
    net = Case("t", "t", 7, "float64", net.network, on_border)
    for step in (1e-6, -1e-6, 1j * COMPLEX_STEP, -1j * COMPLEX_STEP):
        np.testing.assert_array_equal(met(net, "linear_1.bias", [0, 1], step), [[False, False], [True, False]])
        # W[0, 1] adds x[0] to the unit on the border, W[1, 1] adds nothing: x[1] is zero there
        np.testing.assert_array_equal(met(net, "linear_1.weight", [1, 3], step), [[True, False], [False, False]])


@pytest.mark.parametrize("step", [1e-6, -1e-12, 1j * COMPLEX_STEP])
def test_unit_that_another_precision_puts_elsewhere_is_met_by_every_move_of_it(step: complex) -> None:
    net = two_units()
    stage = stage_of(net)
    elsewhere = stage.arrays["linear_1"].copy()
    elsewhere[0, 1] *= -1
    watch = KinkWatch(stage.network, stage.arrays, {**stage.arrays, "linear_1": elsewhere})
    for name, entries, expected in (
        ("linear_1.bias", [0, 1], [[False, False], [True, False]]),
        ("linear_1.weight", [0, 1, 2, 3], [[False] * 2, [True, False], [False] * 2, [True, False]]),
        ("linear_2.weight", [0, 1], [[False] * 2] * 2),
    ):
        moves = Moves(name, np.asarray(entries), stage.arrays[name].shape, fused=False)
        watch.start(len(moves), stage.point.batch_size)
        perturbed_observables(stage, moves, np.full(len(moves), step), watch)
        np.testing.assert_array_equal(watch.met, expected, name)


def test_ties_are_met_by_moves_that_break_them() -> None:
    x = np.array([[0.5, 0.5, 1.0, 2.0]])
    net = case(pair_max((1, 0)), x=x)
    for step in (1e-6, 1j * COMPLEX_STEP):
        np.testing.assert_array_equal(met(net, "input", range(4), step)[:, 0], [True, True, False, False])


def test_both_entries_of_a_tie_together_do_not_break_it() -> None:
    class Repeat(Layer):
        def init(self, rng: Any, *x_shapes: Any) -> Any:
            return {"bias": rng.standard_normal(2)}

        def forward(self, x: Any, bias: Any) -> Any:
            return np.repeat(x + bias, 2, axis=1), None

        def backward(self, dy: Any, cache: Any) -> Any:
            dx = dy[:, 0::2] + dy[:, 1::2]
            return dx, {"bias": dx.sum(axis=0)}

    net = case(Repeat(), pair_max((1, 0)), x=normal(3, 2))
    for step in (1e-6, 1j * COMPLEX_STEP):
        assert not met(net, "repeat_1.bias", [0, 1], step).any()


def test_losses_are_watched() -> None:
    x = np.array([[0.5, 1.0], [2.0, 3.0]])
    net = case(x=x, loss=L1(), target=np.array([[0.5, 0.0], [0.0, 0.0]]))
    for step in (1e-6, 1j * COMPLEX_STEP):
        np.testing.assert_array_equal(met(net, "input", [0, 1], step), [[True, False], [False, False]])


def test_smooth_network_meets_nothing() -> None:
    net = case(Linear(3), Tanh(), x=np.zeros((2, 2)), loss=Mse(), target=np.zeros((2, 3)))
    assert not met(net, "linear_1.weight", range(6), 1e-3).any()
