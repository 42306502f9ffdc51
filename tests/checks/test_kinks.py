"""The evidence for entries at kinks, as the check hands it on."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from core_nets import Add, errors, graph, normal, pair_max, plug, relu_with, row, told
from msgspec.structs import asdict
from support import case, check, judged

from gradcheck.checks._kinks import evidence_at_kinks
from gradcheck.compare import INCONCLUSIVE, KINK
from gradcheck.evidence import Evidence, gather
from gradcheck.findings import Kink, Report
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.report.json_ import document

ONLY = ["gradient"]
methods = pytest.mark.parametrize("method", ["auto", "central", "five_point"])


def heard(*layers: Layer, **options: Any) -> Evidence:
    return gather(case(*layers, checks=ONLY, **options), "gradcheck run test.yaml", lambda *_: None)


@methods
def test_row_says_where_its_entry_meets_the_kink(method: str) -> None:
    x = np.array([[0.0, 1.0, -2.0]])
    report = check(relu_with(0.25), x=x, checks=ONLY, method=method)
    (kink,) = row(report, "input").kinks
    assert row(report, "input").counts.kink == 1, told(report)
    step = kink.steps[2]
    assert kink == Kink(
        (0, 0), "relu_at_1", "relu_at_1", (0, 0), "input", (-step, 0.0, step), (-step, 0.0, step), (0.0, 1.0),
        kink.analytic, 0,
    )  # fmt: skip
    assert 0 < step < 1e-2
    weight = np.random.default_rng([0, 3]).standard_normal(3)[0]
    assert kink.analytic == pytest.approx(weight / 4), "backward's gradient of the loss by the entry"


@methods
def test_entries_without_kinks_have_no_evidence(method: str) -> None:
    report = check(Linear(3), Relu(), Linear(2), x=normal(4, 3), checks=ONLY, method=method)
    assert report.counts.kink == 0, told(report)
    assert not any(found.kinks for found in report.rows)


@methods
def test_zero_background_names_units_whose_slopes_differ(method: str) -> None:
    x = np.zeros((2, 1, 4, 7))
    x[:, :, 1:3, :2] = normal(2, 1, 2, 2)
    layers = Conv2d(2, 2, bias=False), Relu(), MaxPool2d(2), Flatten(), Linear(2)
    report = check(*layers, x=x, checks=ONLY, method=method, trusted=True)
    found = row(report, "input")
    assert found.counts.kink > 10, told(report)
    assert len(found.kinks) == 3
    assert {kink.layer for kink in found.kinks} == {"relu_1", "max_pool2d_1"}, "a maximum of zeros is a tie"
    assert all(kink.slopes[0] != kink.slopes[1] for kink in found.kinks)
    assert all(kink.values[1] == 0 for kink in found.kinks)


@pytest.mark.parametrize("near", [1e-7, 1e-3])
def test_kink_nearby_is_told_by_the_values_on_both_sides(near: float) -> None:
    evidence = heard(Relu(), x=np.array([[near, 1.0]]), method="central", step=2.0**-8)
    (kink,) = evidence_at_kinks(evidence, "input", np.array([[KINK, INCONCLUSIVE]]))
    assert kink.values[0] < 0 < kink.values[1] == near < kink.values[2]
    assert kink.slopes == pytest.approx((0, 1))
    assert (kink.steps[2] == 2.0**-7) == (near == 1e-3), "as far as the differences reach, if need be"


def test_complex_step_does_not_blame_a_kink_nearby() -> None:
    x = np.array([[1e-7, 1.0, 0.0]])
    evidence = heard(Linear(3, bias=False), Relu(), x=x, trusted=True, parameters={"linear_1.weight": np.eye(3)})
    everywhere = np.full((1, 3), KINK)
    kinks = evidence_at_kinks(evidence, "input", everywhere)
    assert [kink.index for kink in kinks] == [(0, 2)]


def test_kink_that_only_rounding_meets_is_told_under_the_complex_step_too() -> None:
    first = {"linear_1.weight": np.array([[1.0], [1.0], [1.0]]), "linear_1.bias": np.array([-0.6])}
    report = check(
        Linear(1), Relu(), x=np.array([[0.1, 0.2, 0.3]]), checks=ONLY, dtype="float32", parameters=first, trusted=True
    )
    (kink, *_) = row(report, "input").kinks
    assert row(report, "input").method == "complex"
    assert kink.values[0] < 0 < kink.values[2]
    assert kink.values[1] != 0
    assert (kink.layer, kink.slopes) == ("relu_1", pytest.approx((0, 1)))


@pytest.mark.parametrize(
    ("layer", "x", "slopes"),
    [
        (plug(np.abs, np.sign), [[0.0, 1.0]], (-1.0, 1.0)),
        (plug(lambda x: np.clip(x, -1, 1), lambda x: 1.0 * (np.abs(x) < 1)), [[1.0, 0.5]], (1.0, 0.0)),
        (pair_max((0.5, 0.5), black_box=True), [[1.0, 1.0]], (0.0, 1.0)),
    ],
    ids=["|x| at 0", "clamp at its bound", "tie"],
)
@pytest.mark.parametrize("method", ["auto", "central"])
def test_black_boxes_are_told_by_their_slopes(layer: Layer, x: Any, slopes: tuple[float, float], method: str) -> None:
    report = check(layer, Linear(2), x=np.array(x), checks=ONLY, method=method)
    evidence = heard(layer, Linear(2), x=np.array(x), method=method)
    assert report.counts.fail == 0, told(report)
    kinks = evidence_at_kinks(evidence, "input", np.array([[KINK, INCONCLUSIVE]]))
    assert [(kink.index, kink.sampled) for kink in kinks] == [((0, 0), "output")]
    assert kinks[0].slopes == pytest.approx(slopes)


def test_losses_are_layers_too() -> None:
    report = check(x=np.array([[1.0, 2.0]]), loss=L1(), target=np.array([[1.0, 0.0]]), checks=ONLY, trusted=True)
    (kink,) = row(report, "input").kinks
    assert (kink.layer, kink.unit, kink.sampled, kink.slopes) == ("loss", (0, 0), "output", (-1.0, 1.0))


def test_different_layers_come_first_then_different_entries() -> None:
    layers = Linear(5, bias=False), Relu(), Linear(2, bias=False), Relu()
    evidence = heard(*layers, x=np.zeros((2, 3)))
    kinks = evidence_at_kinks(evidence, "input", np.full((2, 3), KINK))
    assert [(kink.index, kink.layer) for kink in kinks] == [((0, 0), "relu_1"), ((0, 1), "relu_2"), ((1, 0), "relu_1")]
    assert {kink.others for kink in kinks} == {6}, "five units of the one, two of the other"


def test_same_evidence_every_time() -> None:
    layers = Linear(5, bias=False), Relu(), Linear(2, bias=False), Relu()
    first, second = (judged(case(*layers, x=np.zeros((4, 3)), checks=ONLY)) for _ in range(2))
    assert first == second
    assert row(first, "input").kinks


class Counted(Layer):
    """y = |x|, and how often anybody asked; a black box."""

    calls = 0

    def forward(self, x: Any) -> Any:
        type(self).calls += 1
        return np.where(x.real < 0, -x, x), x

    def backward(self, dy: Any, x: Any) -> Any:
        return np.sign(x) * dy, {}


def test_no_forward_without_kinks_and_few_for_thousands() -> None:
    evidence = heard(Counted(), x=np.zeros((10, 200)))
    calls = []
    for count in (0, 4, 2000):
        verdict = np.where(np.arange(2000) < count, KINK, INCONCLUSIVE).reshape(10, 200)
        Counted.calls = 0
        kinks = evidence_at_kinks(evidence, "input", verdict)
        assert len({kink.index for kink in kinks}) == min(count, 3)
        calls.append(Counted.calls)
    assert calls[0] == 0
    assert 4 * 9 <= calls[1] == calls[2] <= 100, "nine places of each of four entries, and the noise once"


def test_evidence_is_in_the_document() -> None:
    report = check(Relu(), x=np.array([[0.0, 1.0]]), checks=ONLY)
    (row_,) = document(Report("0.1.0", (report,)))["specs"][0]["inputs"]
    (kink,) = row_["kinks"]
    plain = json.loads(json.dumps(kink))
    assert plain == json.loads(json.dumps(asdict(row(report, "input").kinks[0])))
    assert {**plain, "steps": 0, "values": 0, "analytic": 0} == {
        "index": [0, 0], "layer": "relu_1", "output": "relu_1", "unit": [0, 0], "sampled": "input", "steps": 0,
        "values": 0, "slopes": [0.0, 1.0], "analytic": 0, "others": 0,
    }  # fmt: skip


@pytest.mark.parametrize("black_box", [True, False], ids=["black box", "telling"])
def test_finding_outside_the_slopes_names_the_unit_and_its_slopes(black_box: bool) -> None:
    x = np.array([[1.0, 0.0], [0.0, 2.0]])
    (found,) = errors(check(relu_with(5.0, black_box), Linear(2), x=x, checks=ONLY))
    layer = "black_relu_1" if black_box else "relu_at_1"
    assert found.code == "GC114"
    assert found.evidence is not None
    where = ", ".join(map(str, found.evidence.index or ()))
    assert where in ("0, 1", "1, 0")
    assert f"at this kink ({layer}[{where}] has the slope 0 below it and 1 above it); 2 of 4" in found.message


def test_finding_names_a_unit_of_the_guilty_layer() -> None:
    layers = [
        ("linear_1", Linear(2, bias=False), ("input",)), ("good", Relu(), ("linear_1",)),
        ("bad", relu_with(5.0), ("linear_1",)), ("add_1", Add(), ("good", "bad")),
    ]  # fmt: skip
    term = Term(Mse(), "mean", 1.0, ("add_1",), {"target": "target"})
    data = {"input": np.zeros((2, 3)), "target": normal(2, 2)}
    (found,) = errors(judged(graph(data, layers, [term], checks=ONLY)))
    assert found.layer == "bad"
    assert re.search(r"\(bad\[\d, \d\] has the slope 0 below it and 1 above it\)", found.message)


def test_finding_at_a_smooth_point_names_no_slopes() -> None:
    x = np.array([[1.0, 0.5]])
    (found,) = errors(check(plug(np.abs, lambda x: 2 * np.sign(x)), Linear(2), x=x, checks=ONLY))
    assert "slope" not in found.message
