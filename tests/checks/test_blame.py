from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Add, Gate, blamed, double, errors, graph, normal, row, told, verdict, wrong
from support import check, diagnosed, judged

from gradcheck.findings import SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

X = normal(4, 3)
ONLY = ["gradient"]


class Flipped(Tanh):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return -dx, gradients


class Squares(Mse):
    """A squared error whose backward forgets the factor 2."""

    def backward(self, upstream: Any, cache: Any) -> Any:
        return super().backward(upstream, cache) / 2


def consequences(report: SpecReport) -> list[tuple[str, str | None, str]]:
    """Layer, parameter and cause of everything that is wrong only because of something else."""
    ids = {finding.id: finding.layer for finding in report.findings}
    return [(f.layer, f.parameter, ids[f.consequence_of]) for f in report.findings if f.consequence_of]


def test_guilty_layer_is_named_and_rows_in_front_are_its_consequences() -> None:
    report = check(Linear(4), Relu(), Linear(5), Flipped(), Linear(2), x=X, checks=ONLY)
    assert blamed(report) == [("flipped_1", None)], told(report)
    assert sorted(consequences(report)) == [
        ("linear_1", "input", "flipped_1"), ("linear_1", "linear_1.bias", "flipped_1"),
        ("linear_1", "linear_1.weight", "flipped_1"), ("linear_2", "linear_2.bias", "flipped_1"),
        ("linear_2", "linear_2.weight", "flipped_1"),
    ]  # fmt: skip
    assert row(report, "linear_3.weight").verdict == "pass"


def test_guilty_come_before_their_consequences_and_ids_count_up() -> None:
    report = check(Linear(4), Flipped(), Linear(2), x=X, checks=ONLY)
    assert [finding.id for finding in report.findings] == [f"gradient-{k + 1}" for k in range(len(report.findings))]
    known: set[str] = set()
    for finding in report.findings:
        assert finding.consequence_of is None or finding.consequence_of in known
        known.add(finding.id)


def test_two_guilty_layers_are_both_found_nearest_to_the_loss_first() -> None:
    report = check(Linear(4), Flipped(), Linear(5), double(lambda dy: (dy, {})), Linear(2), x=X, checks=ONLY)
    assert blamed(report) == [("double_1", None), ("flipped_1", None)], told(report)


def test_second_mistake_that_undoes_the_first_is_still_two_findings_about_what_lies_between() -> None:
    halves, doubles = double(lambda dy: (dy, {})), wrong(lambda dx, g: (2 * dx, g))
    report = check(Linear(3), doubles, Linear(3), halves, Linear(2), x=X, checks=ONLY)
    assert blamed(report) == [("double_1", None), ("wrong_linear_1", None)], told(report)
    assert {cause for _, _, cause in consequences(report)} == {"double_1"}, told(report)
    assert row(report, "linear_1.weight").verdict == "pass", "here the two mistakes cancel"


def test_wrong_input_and_wrong_parameter_of_one_layer_are_two_findings() -> None:
    report = check(Linear(4), wrong(lambda dx, g: (2 * dx, {**g, "bias": -g["bias"]})), x=X, checks=ONLY)
    assert sorted(blamed(report), key=str) == [("wrong_linear_1", "wrong_linear_1.bias"), ("wrong_linear_1", None)]
    assert {layer for layer, _, _ in consequences(report)} == {"linear_1"}


def test_wrong_parameter_nearer_to_the_loss_is_not_the_cause_of_what_lies_in_front() -> None:
    last = wrong(lambda dx, g: (dx, {**g, "bias": -g["bias"]}))
    report = check(Linear(4), Flipped(), Linear(3), last, x=X, checks=ONLY)
    assert blamed(report) == [("wrong_linear_1", "wrong_linear_1.bias"), ("flipped_1", None)], told(report)
    assert {cause for _, _, cause in consequences(report)} == {"flipped_1"}


def test_parameter_that_passes_by_rtol_is_not_blamed_beside_one_that_fails() -> None:
    slightly = wrong(lambda dx, g: (dx, {**g, "bias": 1.01 * g["bias"]}))
    report = check(Linear(4), Flipped(), Linear(3), slightly, x=X, checks=ONLY, rtol=0.02)
    assert blamed(report) == [("flipped_1", None)], told(report)


def test_mistake_in_the_first_layer_names_the_input_row() -> None:
    report = check(wrong(lambda dx, g: (2 * dx, g)), Tanh(), x=X, checks=ONLY)
    assert blamed(report) == [("wrong_linear_1", "input")], told(report)
    assert len(report.findings) == 1
    assert report.findings[0].index is not None


def test_loss_is_blamed_by_the_name_loss() -> None:
    report = check(Linear(4), Tanh(), Linear(2), x=X, loss=Squares(), target=normal(4, 2), checks=ONLY)
    assert blamed(report) == [("loss", None)], told(report)
    assert len(consequences(report)) == 5
    assert {cause for _, _, cause in consequences(report)} == {"loss"}


def test_wrong_term_among_right_ones_is_named_in_the_message() -> None:
    terms = [
        Term(Mse(), "mean", 1.0, ("a",), {"target": "target"}),
        Term(Squares(), "sum", 1.0, ("a",), {"target": "target"}, name="loss_2"),
    ]
    layers: list[Any] = [("a", Linear(2), ("input",))]
    report = judged(graph({"input": X, "target": normal(4, 2)}, layers, terms, checks=ONLY))
    assert blamed(report) == [("loss", None)], told(report)
    assert errors(report)[0].message.startswith("loss_2: ")


def test_layer_beside_the_path_of_the_mistake_is_no_consequence() -> None:
    layers: list[Any] = [
        ("left", Linear(2), ("input",)), ("wrong", Flipped(), ("left",)), ("right", Linear(2), ("input",)),
        ("sum", Add(), ("wrong", "right")),
    ]  # fmt: skip
    terms = [Term(Mse(), "mean", 1.0, ("sum",), {"target": "target"})]
    report = judged(graph({"input": X, "target": normal(4, 2)}, layers, terms, checks=ONLY))
    assert blamed(report) == [("wrong", None)], told(report)
    assert {parameter for _, parameter, _ in consequences(report)} == {"left.weight", "left.bias", "input"}
    assert row(report, "right.weight").verdict == "pass"


@pytest.mark.parametrize("position", [0, 1])
def test_one_wrong_input_of_two_is_named(position: int) -> None:
    class WrongGate(Gate):
        def backward(self, dy: Any, cache: Any) -> Any:
            gradients, parameters = super().backward(dy, cache)
            changed = list(gradients)
            changed[position] = changed[position] * 1.5
            return tuple(changed), parameters

    inputs = {"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])}
    report = check(WrongGate(), x=inputs, checks=ONLY)
    assert blamed(report) == [("wrong_gate_1", "ab"[position])], told(report)


def test_swapped_input_gradients_are_both_named() -> None:
    class Swapped(Gate):
        def backward(self, dy: Any, cache: Any) -> Any:
            (da, db, dk), parameters = super().backward(dy, cache)
            return (db, da, dk), parameters

    inputs = {"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])}
    assert blamed(check(Swapped(), x=inputs, checks=ONLY)) == [("swapped_1", "a"), ("swapped_1", "b")]


def test_message_shows_both_numbers_their_place_and_how_many_are_wrong() -> None:
    def one(dx: Any, g: Any) -> Any:
        g["weight"][1, 2] = 0.25
        return dx, g

    (finding,) = errors(diagnosed(wrong(one), x=X, checks=ONLY))
    assert finding.evidence is not None
    assert finding.message.startswith(
        f"wrong_linear_1.weight: at wrong_linear_1.weight[1, 2] backward says 0.25, forward says "
        f"{finding.evidence.numeric:.6g} ± {finding.evidence.error_bar:.1e}; 1 of 9 entries are wrong. No known "
    ), finding.message
    assert finding.evidence.analytic == 0.25
    assert finding.evidence.ratio > 1e6
    assert finding.index == finding.evidence.index == (1, 2)


def test_finding_about_what_is_handed_back_names_no_parameter_and_shows_both_numbers() -> None:
    (finding,) = errors(diagnosed(Linear(3), Flipped(), Linear(2), x=X, checks=ONLY))
    assert (finding.code, finding.parameter, finding.index) == ("GC102", None, None)
    assert finding.evidence is not None
    assert finding.evidence.analytic == pytest.approx(-finding.evidence.numeric)
    assert finding.message.startswith("flipped_1: the gradient that it hands back to linear_1 is the numeric one with ")
    assert finding.message.endswith("12 of 12 entries are wrong")


# Backward passes that break the contract ------------------------------------------------------------------------------


def _raise(dy: Any) -> Any:
    raise ValueError("no gradient today")


@pytest.mark.parametrize(
    ("layer", "code", "parameter"),
    [
        (double(_raise), "GC901", None),
        (double(lambda dy: 2 * dy), "GC120", None),
        (double(lambda dy: None), "GC120", None),
        (double(lambda dy: (None, {})), "GC108", None),
        (double(lambda dy: (2 * dy.T, {})), "GC120", None),
        (double(lambda dy: (dy * np.nan, {})), "GC115", None),
        (wrong(lambda dx, g: (dx, {"weight": g["weight"]})), "GC108", "wrong_linear_1.bias"),
        (wrong(lambda dx, g: (dx, {**g, "bias": g["bias"][:1]})), "GC120", "wrong_linear_1.bias"),
        (wrong(lambda dx, g: (dx, {**g, "bias": g["bias"] / 0})), "GC115", "wrong_linear_1.bias"),
    ],
)
def test_broken_backward_is_one_finding_with_its_code_layer_and_parameter(
    layer: Layer, code: str, parameter: str | None
) -> None:
    with np.errstate(all="ignore"):
        report = check(layer, Linear(2), x=X)
    assert [(f.code, f.layer, f.parameter) for f in errors(report)] == [
        (code, "double_1" if parameter is None else "wrong_linear_1", parameter)
    ], told(report)
    assert report.verdict == "fail"
    verdicts = {check.check: check.verdict for check in report.checks}
    assert verdicts.pop("gradient") == "fail"
    assert set(verdicts.values()) == {"not_applicable"}


def test_rows_in_front_of_a_backward_that_raises_are_its_consequences() -> None:
    report = check(Linear(3), double(_raise), Linear(2), x=X)
    assert set(consequences(report)) == {
        ("linear_1", name, "double_1") for name in ("linear_1.weight", "linear_1.bias", "input")
    }
    assert row(report, "linear_2.weight").verdict == "pass"
    assert report.findings[0].message == "double_1: backward raised ValueError: no gradient today"


def test_surplus_gradient_is_an_error_and_the_verdict_says_so() -> None:
    report = check(Linear(3), double(lambda dy: (2 * dy, {"scale": 1.0})), Linear(2), x=X)
    assert [(f.code, f.layer) for f in errors(report)] == [("GC120", "double_1")], told(report)
    assert report.verdict == verdict(report, "gradient") == "fail"
    assert report.counts.fail == 0


@pytest.mark.parametrize("dtype", [object, complex, str])
def test_gradient_of_another_kind_of_numbers_is_a_finding_at_its_layer(dtype: type) -> None:
    report = check(Linear(3), double(lambda dy: ((2 * dy).astype(dtype), {})), x=X)
    assert blamed(report) == [("double_1", None)], told(report)
    report = check(wrong(lambda dx, g: (dx, {**g, "bias": g["bias"].astype(dtype)})), x=X)
    assert blamed(report) == [("wrong_linear_1", "wrong_linear_1.bias")], told(report)


def test_forgotten_parameter_taints_nothing_else() -> None:
    report = check(Linear(3), wrong(lambda dx, g: (dx, {"weight": g["weight"]})), x=X)
    assert not consequences(report)
    assert {r.name for r in report.rows if r.verdict == "fail"} == {"wrong_linear_1.bias"}


def test_wrong_shape_and_a_wrong_value_elsewhere_are_both_found() -> None:
    layers = [Linear(3), Flipped(), wrong(lambda dx, g: (dx, {**g, "bias": g["bias"][None]}))]
    report = diagnosed(*layers, x=X, checks=ONLY)
    assert [(f.code, f.layer) for f in errors(report)] == [("GC120", "wrong_linear_1"), ("GC102", "flipped_1")]


def test_backward_of_the_loss_that_raises_is_the_losss() -> None:
    class Raising(Mse):
        def backward(self, upstream: Any, cache: Any) -> Any:
            raise RuntimeError("no gradient today")

    report = check(Linear(2), x=X, loss=Raising(), target=normal(4, 2))
    assert [(f.code, f.layer) for f in errors(report)] == [("GC901", "loss")], told(report)
