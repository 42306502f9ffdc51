from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Centred, blamed, errors, normal, plug, relu_with, row, told, wrong
from msgspec.structs import replace
from support import ALL, case, check

from gradcheck.catalogue import Catalogue
from gradcheck.findings import Counts, Location
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.pipeline import check_case, check_names, run_case, run_spec
from gradcheck.spec.case import Case

X, TARGET = normal(5, 3), normal(5, 2)


def dense(**options: Any) -> Case:
    return case(Linear(3), Tanh(), Linear(2), x=X, loss=Mse(), target=TARGET, **options)


def one_wrong_entry(**options: Any) -> Case:
    def change(dx: Any, g: Any) -> Any:
        g["weight"][2, 1] *= 1.5
        return dx, g

    layers = (Linear(4), plug(lambda x: np.abs(x) * x.real, lambda x: 2 * np.abs(x)), wrong(change), Relu(), Linear(2))
    return case(*layers, x=X, **options)


# The report -----------------------------------------------------------------------------------------------------------


def test_report_says_all_that_was_run() -> None:
    report = check_case(dense(checks=ALL))
    assert (report.path, report.name, report.verdict, report.seed) == ("test.yaml", "test", "pass", 7)
    assert [r.name for r in report.parameters] == [
        "linear_1.weight",
        "linear_1.bias",
        "linear_2.weight",
        "linear_2.bias",
    ]
    assert [r.name for r in report.inputs] == ["input"]
    assert tuple(check.check for check in report.checks) == ALL
    assert (report.loss, report.batch_size, report.dtype) == ("mse (mean)", 5, "float64")
    assert report.counts == Counts(passed=35)
    assert not report.findings


def test_network_is_shown_layer_by_layer() -> None:
    found = [(r.name, r.type, r.options, r.output_shapes, r.parameters) for r in check_case(dense()).network]
    assert found == [
        ("linear_1", "linear", "out_features=3", ((5, 3),), 12),
        ("tanh_1", "tanh", "", ((5, 3),), 0),
        ("linear_2", "linear", "out_features=2", ((5, 2),), 8),
    ]


def test_checks_run_in_the_order_of_the_case_and_no_others() -> None:
    for names in (("per_sample", "gradient"), ("reduction",), ("gradient",)):
        report = check_case(dense(checks=names))
        assert tuple(check.check for check in report.checks) == names


def test_findings_come_in_the_order_of_the_checks_with_ids_of_their_own() -> None:
    halved = wrong(lambda dx, g: (dx, {**g, "weight": g["weight"] / 2 if len(dx) > 1 else g["weight"]}))
    report = check(Linear(3), halved, Linear(2), x=X, checks=ALL)
    ids = [finding.id for finding in report.findings]
    assert ids == ["gradient-1", "per_sample-1", "accumulation-1"], told(report)
    assert len(set(ids)) == len(ids)


def test_rows_that_no_check_has_looked_at_are_not_applicable() -> None:
    report = check_case(dense(checks=["reduction"]))
    assert report.verdict == "pass"
    assert {(r.verdict, r.checked) for r in report.rows} == {("not_applicable", 0)}
    assert row(report, "linear_1.weight").entries == 9


@pytest.mark.parametrize(
    ("layers", "x", "expected"),
    [
        ((Linear(2),), X, "pass"),
        ((relu_with(0.0), Linear(2)), np.where(X > 0.5, 0, X), "kink"),
        ((wrong(lambda dx, g: (-dx, g)),), X, "fail"),
        ((Centred(),), X, "pass"),
    ],
)
def test_verdict_of_a_spec_is_the_worst_of_its_parts(layers: Any, x: Any, expected: str) -> None:
    report = check(*layers, x=x)
    assert report.verdict == expected, told(report)


def test_place_of_a_layer_in_the_spec_goes_with_its_findings() -> None:
    places = {"wrong_linear_1": Location("test.yaml", 7, 5), "loss": Location("test.yaml", 9, 1)}
    report = check_case(replace(one_wrong_entry(), locations=places))
    assert [finding.location for finding in errors(report)] == [places["wrong_linear_1"]]


def test_arrays_for_a_dump_are_all_there_and_of_the_tensors_shape() -> None:
    dumped = run_case(one_wrong_entry(), "").gradients
    for name, shape in (("wrong_linear_1.weight", (4, 3)), ("input", (5, 3))):
        assert {dumped[f"{name}/{what}"].shape for what in ("analytic", "numeric", "bar", "verdict")} == {shape}
    assert dumped["wrong_linear_1.weight/verdict"][2, 1] == "fail"
    assert (dumped["wrong_linear_1.weight/verdict"] == "fail").sum() == 1


# Again ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [dense, one_wrong_entry])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_same_case_gives_the_same_report_twice(make: Any, dtype: str) -> None:
    first, again = check_case(make(dtype=dtype)), check_case(make(dtype=dtype))
    assert first == again
    assert repr(first) == repr(again)


def test_another_seed_gives_other_numbers_and_the_same_verdicts() -> None:
    first, other = check_case(dense()), check_case(dense(seed=8))
    assert first.verdict == other.verdict == "pass"
    assert first.parameters[0].worst != other.parameters[0].worst


@pytest.mark.parametrize("method", ["auto", "central"])
def test_replaying_a_finding_gives_the_same_numbers(method: str) -> None:
    report = check_case(one_wrong_entry(method=method))
    (finding,) = errors(report)
    assert finding.parameter is not None
    assert finding.index == (2, 1)
    scheme = row(report, finding.parameter).method
    assert finding.replay == (
        f"gradcheck run test.yaml --seed 7 --method {scheme} --entry 'wrong_linear_1.weight[2, 1]'"
    )
    again = check_case(one_wrong_entry(method=scheme, entries=((finding.parameter, finding.index),)))
    assert again.counts == Counts(fail=1), told(again)
    (same,) = errors(again)
    assert same.evidence == finding.evidence
    assert same.message.replace("1 of 1", "1 of 12") == finding.message


@pytest.mark.parametrize("method", ["auto", "central", "five_point"])
def test_replaying_the_worst_entry_of_all_gives_the_same_numbers(method: str) -> None:
    report = check_case(dense(method=method))
    before, _, entry = report.replay.partition(" --entry ")
    scheme = before.rpartition(" --method ")[2]
    name, _, index = entry.strip("'").rstrip("]").partition("[")
    where = tuple(int(i) for i in index.split(","))
    again = check_case(dense(method=scheme, entries=((name, where),)))
    assert row(again, name).worst == row(report, name).worst
    assert row(again, name).checked == 1


def test_worst_entry_to_replay_is_that_of_the_worst_verdict() -> None:
    report = check_case(one_wrong_entry())
    assert report.replay.endswith("--entry 'wrong_linear_1.weight[2, 1]'")


def test_entries_on_kinks_are_not_replayed_where_something_fails() -> None:
    slightly = wrong(lambda dx, g: (dx, {**g, "bias": (1 + 1e-9) * g["bias"]}))
    report = check(relu_with(1.0), slightly, x=np.zeros((3, 3)))
    assert row(report, "input").verdict == "kink", told(report)
    assert "--entry 'wrong_linear_1.bias[" in report.replay


# Plugins that break while they run ------------------------------------------------------------------------------------


def test_forward_that_raises_in_single_precision_is_a_finding() -> None:
    def picky(x: Any) -> Any:
        if x.dtype == np.float32:
            raise TypeError("double precision, please")
        return 2 * x

    report = check(Linear(3), plug(picky, lambda x: 2.0), x=X, dtype="float32")
    assert blamed(report) == [("plug_1", None)], told(report)
    (finding,) = errors(report)
    assert (finding.code, finding.message) == ("GC901", "plug_1: forward raised TypeError: double precision, please")
    assert report.verdict == "fail"


def test_layer_that_fails_on_one_sample_keeps_the_verdicts_of_the_gradient() -> None:
    def refusing(x: Any) -> Any:
        if len(x) == 1:
            raise RuntimeError("more than one sample, please")
        return 2 * x

    report = check(Linear(3), plug(refusing, lambda x: 2.0), x=X)
    assert [r.verdict for r in report.rows] == ["pass"] * 3, told(report)
    assert blamed(report) in ([("plug_1", None)], []), told(report)


@pytest.mark.parametrize("behind", [(), (Linear(3),)])
def test_layer_that_squeezes_a_batch_of_one_is_a_finding_and_no_crash(behind: Any) -> None:
    class Squeezing(Layer):
        def forward(self, x: Any) -> Any:
            return (2 * x).squeeze(), x.shape

        def backward(self, dy: Any, cache: Any) -> Any:
            return 2 * dy.reshape(cache), {}

    report = check(Linear(3), Squeezing(), *behind, x=X, loss=Mse(), target=normal(5, 3))
    assert {finding.layer for finding in errors(report)} <= {"squeezing_1"}, told(report)
    assert row(report, "linear_1.weight").verdict == "pass", told(report)


def test_forward_that_raises_at_a_later_call_is_a_finding() -> None:
    for calls in range(2, 12):

        def tired(x: Any, left: list[int] = [calls]) -> Any:  # noqa: B006 - counts the calls
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("tired")
            return 2 * x

        report = check(Linear(3), plug(tired, lambda x: 2.0), x=X)
        assert {finding.layer for finding in errors(report)} == {"plug_1"}, told(report)


def test_forward_that_reuses_its_output_array_is_not_blamed_on_others() -> None:
    kept: dict[Any, Any] = {}

    def reused(x: Any) -> Any:
        return np.multiply(x, 2, out=kept.setdefault((x.shape, x.dtype), np.empty_like(x)))

    report = check(Linear(3), plug(reused, lambda x: 2.0), Linear(2), x=X)
    assert {finding.layer for finding in errors(report)} <= {"plug_1"}, told(report)


def test_divisor_that_raises_is_a_finding_about_the_loss() -> None:
    class Raising(Mse):
        def divisor(self, target: Any, reduction: str) -> Any:
            raise KeyError(reduction)

    report = check(Linear(2), x=X, loss=Raising(), target=TARGET)
    assert [(f.code, f.layer) for f in errors(report)] == [("GC901", "loss")], told(report)


def test_branches_that_raise_are_a_finding() -> None:
    class Confused(Layer):
        def forward(self, x: Any) -> Any:
            return 2 * x, None

        def backward(self, dy: Any, cache: Any) -> Any:
            return 2 * dy, {}

        def branches(self, *inputs: Any, **parameters: Any) -> Any:
            raise RuntimeError("no branches today")

    report = check(Linear(3), Confused(), x=X)
    assert blamed(report) == [("confused_1", None)], told(report)


# From a text ----------------------------------------------------------------------------------------------------------

SPEC = """
seed: 3
data:
  batch_size: 4
  inputs: {shape: [3], fill: normal}
  targets: {shape: [2], fill: normal}
network:
  - linear: {out_features: 2}
loss: mse
"""


def test_text_is_read_and_checked() -> None:
    report = run_spec("small.yaml", SPEC, Catalogue()).report
    assert (report.path, report.verdict, report.seed, report.counts) == ("small.yaml", "pass", 3, Counts(passed=20))
    assert report.replay.startswith("gradcheck run small.yaml --seed 3 --method complex --entry ")


def test_text_that_is_no_spec_is_refused_with_every_problem() -> None:
    report = run_spec("small.yaml", SPEC.replace("linear:", "liner:").replace("mse", "msee"), Catalogue()).report
    assert report.verdict == "refused"
    assert [(refusal.path, refusal.line) for refusal in report.errors] == [("small.yaml", 8), ("small.yaml", 9)]
    assert not report.rows


def test_checks_are_found_by_walking_their_folder() -> None:
    assert check_names() == [
        "accumulation", "contract", "gradient", "output_error", "per_sample", "reduction", "vacuity",
    ]  # fmt: skip
